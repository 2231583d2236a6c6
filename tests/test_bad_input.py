"""Bad and hostile input: one clear sentence each, nothing half-written, memory bounded."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import bad_input
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import labelaudit
from labelaudit import load_dataset
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.images import MAX_PIXELS, UnreadableImageError, decode
from labelaudit.core.progress import QUIET
from labelaudit.dataset.ingest import check_class
from labelaudit.patch import parse_patch
from labelaudit.sources import archive as archives
from labelaudit.sources import files, manifest, table_reader
from labelaudit.sources.detect import open_path

LISTED = Path(bad_input.PAGE).read_text()
# What must never get through: everything else may load or be refused, as the page says.
REFUSED = re.compile(
    r"cut in the middle|50,000 x|2,147,483,647 x|13,000 x|64 MB|16 MB|zero bytes|\.\./|/etc/|C:"
    r"|link|twice|encrypted|claims? \d GB|without labels|NUL|not Parquet|60,000,000|deep|100,000"
    r"|reverses the text|line break|only a blank without"
)


def one_line(error: Exception) -> None:
    assert str(error).strip()
    assert "\n" not in str(error)


@pytest.mark.parametrize("group", bad_input.GROUPS)
def test_every_bad_input_has_one_sentence_and_the_page_has_it(group):
    """`python tests/bad_input.py` regenerates the page."""
    found = list(bad_input.rows(group))
    for case, (what, happens) in zip(bad_input.GROUPS[group], found, strict=False):
        assert case.expects in happens, (what, happens)
    for what, happens in found:
        assert "\n" not in happens
        assert "Traceback" not in happens
        assert "Error:" not in happens, happens
        if REFUSED.search(what) and "class name" not in what and "folders that are" not in what:
            assert re.search("(^|; )(refused|skipped): ", happens), (what, happens)
        assert f"| {bad_input.cell(what)} | {bad_input.cell(happens)} |" in LISTED, what
    section = LISTED.split(f"\n## {group}\n")[1].split("\n## ")[0]
    assert section.count("\n| ") == len(found) + 2  # with the head


def test_a_header_is_judged_before_anything_is_decoded(monkeypatch):
    side = int(MAX_PIXELS**0.5)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnreadableImageError, match=rf"it has {side + 1:,} x {side + 1:,} pixels"):
        decode("x", bad_input.png(width=side + 1, height=side + 1))
    with pytest.raises(BaseException, match="decoded"):  # the largest that may be
        decode("x", bad_input.png(width=side, height=side))


def test_an_image_says_nothing_of_itself_but_its_pixels():
    options = {"exif": b"Exif\0\0MM\0*" + b"\0" * 80, "comment": b"secret"}
    image = decode("x", bad_input.small("JPEG", **options))
    assert set(image.info) <= {"transparency", "icc_profile", "dpi", "full_size"}
    huge = bad_input.small("JPEG", icc_profile=b"p" * (1 << 20) + b"q")
    assert "icc_profile" not in decode("x", huge).info
    assert decode("x", bad_input.small("JPEG", icc_profile=b"p" * 500)).info["icc_profile"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_images_with_bytes_changed_are_read_or_refused(kind, data):
    image = bytearray(bad_input.small(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(image) - 1))
        image[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(image)))
    for content in (bytes(image), bytes(image[:cut])):
        try:
            assert decode("x", content).width > 0
        except UnreadableImageError as error:
            one_line(error)


def read_rows(path: Path) -> int:
    """Return how many samples a source yields, without checking images."""
    source = open_path(path)
    source.check = False
    return sum(len(batch) for batch in source.read(QUIET))


TEXTS = {
    ".csv": "filepath,label,split,id,tags\na.png,cat,train,1,x;y\nb.png,dog,test,2,\n",
    ".jsonl": '{"filepath": "a.png", "label": "cat", "id": 1}\n{"filepath": "b.png", "label": 2}\n',
    ".json": '{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, '
    '"category_id": 2}], "categories": [{"id": 2, "name": "cat"}]}',
    ".zip": None,
}  # fmt: skip
PIECES = ['"', "\n", ",", "\0", "[", "{}", "null", "-1", "1e999", "é", "\ud7ff", "=1+1", "[" * 2000]


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("cat/a.png", b"a" * 50)
        made.writestr("metadata.csv", "file_name,label\ncat/a.png,cat\n")
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", TEXTS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_lists_and_zips_with_bytes_changed_are_read_or_refused(suffix, data, tmp_path):
    content = bytearray((TEXTS[suffix] or "").encode() or archive())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.one_of(st.sampled_from(PIECES).map(str.encode), st.binary(max_size=4)))
        content[at : at + data.draw(st.integers(0, 3))] = piece
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bytes(content))
    try:
        assert read_rows(path) >= 0
    except LabelAuditError as error:
        one_line(error)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), max_size=4)
)
def test_patches_of_anything_are_read_or_refused(lines):
    try:
        parse_patch(b"\n".join(lines), "x")
    except LabelAuditError as error:
        one_line(error)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_a_class_name_is_taken_whole_or_refused(name):
    try:
        assert check_class(name) is name
    except LabelAuditError as error:
        one_line(error)
    else:
        assert name.strip()
        assert not re.search("[\x00-\x1f\u202e]", name)


# --- lists are read piece by piece ---


def long_list(path: Path, rows: int, ids: str = "{i}") -> Path:
    lines = (f"images/{i:09d}.jpg,class{i % 7},{ids.format(i=i)}\n" for i in range(rows))
    path.write_text("filepath,label,id\n" + "".join(lines))
    return path


def test_rows_are_counted_through_all_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(table_reader, "ROW_BYTES", 4_000)
    path = long_list(tmp_path / "m.csv", 2_000)
    assert read_rows(path) == 2_000
    text = path.read_text()
    path.write_text(text.replace("images/000001234.jpg", ""))
    with pytest.raises(LabelAuditError, match="row 1235: the filepath is empty"):
        read_rows(path)
    path.write_text(text.replace("class2,1234\n", "class2,seven\n"))
    with pytest.raises(LabelAuditError, match=r"row 1235: ids must be whole numbers.*'seven'"):
        read_rows(path)
    path.write_text(text.replace("class2,1234\n", "class2,7\n"))
    with pytest.raises(LabelAuditError, match="rows 8 and 1235 have the same id 7"):
        read_rows(path)
    path.write_text(text.replace("class2,1234\n", "class2,1234,more\n"))
    with pytest.raises(LabelAuditError, match="line 1236 has 4 cells, but the header has 3"):
        read_rows(path)
    path.write_text(text.replace("class2,1234", "c" * 9_000 + ",1234"))
    with pytest.raises(LabelAuditError, match="a row is too long, or a quote is never closed"):
        read_rows(path)


def test_numbers_as_pandas_writes_them_are_ids(tmp_path):
    path = long_list(tmp_path / "m.csv", 5, ids=" {i}.0")
    table = manifest.read_manifest(_listing(path)).table
    assert [batch["id"].to_pylist() for batch in table.to_batches(10)] == [[0, 1, 2, 3, 4]]


def _listing(path: Path):
    from labelaudit.sources.image_list import ListFile

    return ListFile(str(path), lambda: path.open("rb"), files.Folder(path.parent))


def test_lists_with_too_much_in_them_are_refused(tmp_path, monkeypatch):
    path = long_list(tmp_path / "m.csv", 60)
    monkeypatch.setattr(manifest, "MAX_ROWS", 59)
    with pytest.raises(LabelAuditError, match="has more than 59 rows: split it"):
        read_rows(path)
    monkeypatch.setattr(manifest, "MAX_CLASSES", 6)
    with pytest.raises(LabelAuditError, match="more than 6 different labels in the column 'label'"):
        read_rows(path)
    monkeypatch.setattr("labelaudit.sources.image_list.MAX_BYTES", 40)
    (tmp_path / "m.jsonl").write_text('{"filepath": "a.png", "label": "a rather long one"}\n')
    with pytest.raises(LabelAuditError, match="is larger than 0 MiB: write it as CSV or Parquet"):
        read_rows(tmp_path / "m.jsonl")


def test_a_long_list_is_never_whole_in_memory(tmp_path):
    """300,000 rows, 13 MB: only a part of it is in memory at once, and eight bytes per id."""
    import pyarrow as pa

    path = long_list(tmp_path / "m.csv", 300_000)
    table = manifest.read_manifest(_listing(path)).table
    assert len(table) == 300_000
    held = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - held for _ in table.to_batches(10_000))
    assert most < 8 * table_reader.ROW_BYTES < 34 << 20


def test_a_zip_of_many_names_is_listed_in_bounded_time_and_memory(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        for i in range(3_000):
            made.writestr(f"cat/{i}.txt", b"")
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 150_000)
    with pytest.raises(LabelAuditError, match="contains more files than can be listed in memory"):
        load_dataset("x", tmp_path / "x.zip")
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 200_000)
    with pytest.raises(LabelAuditError, match="neither images nor a list"):
        load_dataset("x", tmp_path / "x.zip")


def test_nothing_is_half_written_and_what_was_there_stays(tmp_path):
    good = bad_input.list_case("", "filepath,label\ngood.png,a\n").make(tmp_path)
    load_dataset("x", good)
    refused = ("a CSV with a column twice", "a CSV with a long row", "a zip cut in the middle")
    cases = [case for case in (*bad_input.LISTS, *bad_input.ZIPS) if case.what in refused]
    assert len(cases) == len(refused)
    for case in cases:
        (tmp_path / case.what).mkdir()
        made = case.make(tmp_path / case.what)
        with pytest.raises(LabelAuditError):
            load_dataset("x", made, overwrite=True)
        with pytest.raises(LabelAuditError):
            load_dataset("y", made)
    assert labelaudit.list_datasets() == ["x"]
    assert load_dataset("x").classes == ["a"]
    left = {path.name for path in (Path(tmp_path) / "home/datasets").iterdir()}
    assert left == {"x"}


def test_a_good_image_among_large_ones_is_not_held_up(tmp_path):
    """More large images than may be decoded at once: all are decoded, none waits forever."""
    from labelaudit.core import images, memory_budget

    (tmp_path / "in/cat").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / f"in/cat/{i}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "LARGE_PIXELS", 10)
        patch.setattr(images, "DECODED", memory_budget.MemoryBudget(2_500))  # one image has 2,000
        assert len(load_dataset("x", tmp_path / "in")) == 6
