"""Exports: loaded again they are equal, and nothing is half-written."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forks import Program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelaudit import Dataset, export_dataset, load_arrays, load_dataset
from labelaudit.core.errors import LabelAuditError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.dataset.dataset import create_dataset
from labelaudit.dataset.ingest import check_class
from labelaudit.export import FORMATS, export_zip, outputs, write_labels
from labelaudit.export.file_names import UniquePaths, distinct_names, key, safe_name

HOSTILE = ["a, b", "two  lines", "=1+1", "'=z", "'tis", "-1", "007", " ends ", "日本 \U0001f431",
           "NA", "null", '"q"', "a;b", "t\u3000t", "<b>"]  # fmt: skip
COLUMNS = ["id", "split", "ground_truth", "tags"]


def rows_of(dataset: Dataset, columns=COLUMNS) -> pd.DataFrame:
    return dataset.view().to_pandas()[columns]


def same(first: Dataset, second: Dataset, columns=COLUMNS) -> None:
    pd.testing.assert_frame_equal(rows_of(first, columns), rows_of(second, columns))
    assert first.classes == second.classes
    for a, b in zip(first.view(), second.view(), strict=True):
        assert a.image.tobytes() == b.image.tobytes()


def shape(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


@pytest.fixture
def pets(tmp_path, picture) -> Dataset:
    """Files in class folders, some with equal names, some deeper; one relabelled, one removed."""
    root = tmp_path / "pets"
    names = ["train/cat/1.png", "train/dog/1.png", "train/cat/deep/er/1.png", "test/cat/1.png",
             "test/dog/2.png", "train/dog/3.png"]  # fmt: skip
    for seed, name in enumerate(names):
        picture(root / name, seed)
    dataset = load_dataset("pets", root)
    by_path = {s.filepath.removeprefix(f"{root}/"): s.id for s in dataset.view()}
    dataset.set_labels([by_path["train/cat/1.png"]], "dog")
    dataset.tag([by_path["test/dog/2.png"]], "removed")
    dataset.tag([by_path["train/dog/3.png"]], "hard")
    return dataset


@pytest.fixture
def odd(home) -> Dataset:
    """Images stored in the dataset; every unusual name as a class; splits, tags, no labels."""
    images = np.random.default_rng(0).integers(0, 255, (len(HOSTILE) + 2, 5, 4, 3), np.uint8)
    labels = [*range(len(HOSTILE)), None, 0]
    splits = [["train", "fold/1", None][i % 3] for i in range(len(labels))]
    tags = [[["=t", "a,b"], [], ["'x"]][i % 3] for i in range(len(labels))]
    ids = [7 * i + 3 for i in range(len(labels))]
    return load_arrays("odd", images, labels, splits=splits, tags=tags, ids=ids,
                       classes=[*HOSTILE, "unused"])  # fmt: skip


# --- manifests ---


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_manifest_with_images_brings_everything_back(odd, tmp_path, suffix):
    done = export_dataset(odd, tmp_path / f"m{suffix}")  # with the images that have no file
    beside = suffix != ".parquet"  # the provenance
    assert done.files == len(odd) + 2 + beside  # images, manifest, the order of the classes
    same(odd, load_dataset("again", tmp_path / f"m{suffix}"))
    moved = shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-moved",
                            ignore=shutil.ignore_patterns("home"))  # fmt: skip
    same(odd, load_dataset("moved", moved / f"m{suffix}"))


def is_class(name: str) -> bool:
    try:
        return bool(check_class(name))
    except LabelAuditError:
        return False


@settings(max_examples=15, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.lists(st.text(min_size=1, max_size=8).filter(is_class), min_size=1, max_size=5,
                unique=True),
       st.sampled_from([".csv", ".jsonl", ".parquet"]))  # fmt: skip
def test_any_label_comes_back(tmp_path_factory, names, suffix):
    from labelaudit.export.samples import Samples
    from labelaudit.sources.detect import open_path

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("any")
        patch.setenv("LABELAUDIT_HOME", str(folder / "home"))
        rows = {"filepath": [f"/n/{i}.png" for i in range(len(names))], "label": names}
        dataset = create_dataset("any", rows, classes=sorted(set(names), reverse=True))
        write_labels(dataset.view(), folder / f"m{suffix}")
        source = open_path(folder / f"m{suffix}")
        assert [row["label"] for row in source.rows()] == names
        assert Samples(dataset.view()).classes == source.classes


def test_a_manifest_alone_says_that_images_are_missing(odd, tmp_path):
    done = export_dataset(odd, tmp_path / "m.csv", images=False)
    assert f"{len(HOSTILE) + 2} images are stored in the dataset" in str(done)
    assert "--images" in str(done)


def test_paths_are_relative_where_images_lie_below(pets, tmp_path):
    root = tmp_path / "pets"

    def written(target: Path, paths: str) -> list[str]:
        write_labels(pets.view(), target, paths=paths)
        same(pets_without_removed(pets), load_dataset("again", target, overwrite=True))
        return pd.read_csv(target)["filepath"].tolist()

    (tmp_path / "elsewhere").mkdir()
    assert "pets/train/dog/3.png" in written(tmp_path / "a.csv", "auto")
    assert f"{root}/train/dog/3.png" in written(tmp_path / "b.csv", "absolute")
    assert f"{root}/train/dog/3.png" in written(tmp_path / "elsewhere/c.csv", "auto")
    assert "../pets/train/dog/3.png" in written(tmp_path / "elsewhere/d.csv", "relative")
    # a link to the manifest's folder: ".." leads up from where it really lies
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep/er")
    assert "../../pets/train/dog/3.png" in written(tmp_path / "link/e.csv", "relative")


def pets_without_removed(pets: Dataset) -> Dataset:
    view = pets.view().exclude_tag("removed")
    rows = [{"id": s.id, "filepath": s.filepath, "label": s.ground_truth, "split": s.split,
             "tags": list(s.tags)} for s in view]  # fmt: skip
    return create_dataset("kept", rows, classes=pets.classes, overwrite=True)


def test_a_blank_at_the_beginning_of_a_path_is_kept(tmp_path, picture):
    file = picture(tmp_path / " d" / "1.png")
    dataset = create_dataset("blank", [{"filepath": str(file), "label": "a"}])
    write_labels(dataset.view(), tmp_path / "m.csv")
    assert len(load_dataset("again", tmp_path / "m.csv")) == 1


def test_an_apostrophe_before_a_sign_is_the_labels_own_but_in_a_csv(tmp_path, picture):
    picture(tmp_path / "1.png")
    (tmp_path / "m.jsonl").write_text('{"filepath": "1.png", "label": "\'=z"}')
    (tmp_path / "m.csv").write_text("filepath,label\n1.png,'=z\n")
    assert load_dataset("j", tmp_path / "m.jsonl").classes == ["'=z"]
    assert load_dataset("c", tmp_path / "m.csv").classes == ["=z"]


def test_somebody_elses_class_list_is_no_harm(tmp_path, picture):
    picture(tmp_path / "1.png")
    (tmp_path / "m.csv").write_text("filepath,label\n1.png, cat \n")
    for text in ("not json", "[]", '{"classes": ["x"]}', '{"made_by": "labelaudit", "classes": 3}'):
        (tmp_path / "m.classes.json").write_text(text)
        assert load_dataset("c", tmp_path / "m.csv", overwrite=True).classes == ["cat"]


# --- class folders ---


def test_class_folders_of_files(pets, tmp_path):
    out = tmp_path / "out"
    done = export_dataset(pets, out, "folders")
    ids = {s.filepath.removeprefix(f"{tmp_path}/pets/"): s.id for s in pets.view()}
    first, second = sorted((ids["train/cat/1.png"], ids["train/dog/1.png"]))
    assert set(shape(out)) == {
        "train/dog/1.png", f"train/dog/1-{second}.png", "train/dog/3.png",
        "train/cat/deep/er/1.png", "test/cat/1.png", "labels.csv", "labels.classes.json",
    }  # fmt: skip
    plain = next(name for name, i in ids.items() if i == first)
    assert (out / "train/dog/1.png").read_bytes() == (tmp_path / "pets" / plain).read_bytes()
    assert (done.samples, done.relabelled, done.removed) == (5, 1, 1)
    same(pets_without_removed(pets), load_dataset("again", out))


def test_class_folders_with_odd_names_come_back(odd, tmp_path):
    done = export_dataset(odd, tmp_path / "out", "folders")
    assert "1 sample without a label left out" in str(done)
    assert "labels.classes.json contains the real names" in str(done)
    labelled = odd.view().match(label=odd.classes)
    again = load_dataset("again", tmp_path / "out")
    assert again.classes == odd.classes
    pd.testing.assert_frame_equal(rows_of(again), labelled.to_pandas()[COLUMNS])
    for a, b in zip(labelled, again.view(), strict=True):
        assert a.image.tobytes() == b.image.tobytes()


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_zip_of_class_folders_comes_back(odd, tmp_path, in_memory):
    if in_memory:
        (tmp_path / "o.zip").write_bytes(export_zip(odd.view(), "folders", "o"))
    else:
        export_dataset(odd, tmp_path / "o.zip", "folders")
    again = load_dataset("again", tmp_path / "o.zip")
    assert again.classes == odd.classes
    labelled = odd.view().match(label=odd.classes).to_pandas()[COLUMNS]
    pd.testing.assert_frame_equal(rows_of(again), labelled)


def test_files_that_were_moved_or_added_have_the_class_of_their_folder(odd, tmp_path, picture):
    out = tmp_path / "out"
    export_dataset(odd, out, "folders")
    before = load_dataset("before", out)
    info = json.loads((out / "labels.classes.json").read_text())["class_folders"]
    folder = {name: safe for safe, name in info.items()}
    moved = next(s for s in before.view() if s.ground_truth == "a, b" and s.split == "train")
    target = out / "train" / folder["two  lines"] / "moved.png"
    target.parent.mkdir(exist_ok=True)
    Path(moved.filepath).rename(target)
    picture(out / "train" / "new class" / "1.png")
    picture(out / "train" / "stray.png")
    after = load_dataset("after", out)
    found = {s.filepath: s for s in after.view()}
    assert found[str(target)].ground_truth == "two  lines"
    assert found[str(target)].id > max(before.view().ids)
    assert found[str(out / "train/new class/1.png")].ground_truth == "new class"
    assert after.classes == [*odd.classes, "new class"]
    assert {f["why"] for f in after.info["skipped"]["files"]} == {
        "is not in a class folder", "there is no such file"}  # fmt: skip
    (out / "labels.csv").unlink()
    assert load_dataset("bare", out).classes == after.classes


def test_names_without_a_suffix_get_that_of_their_content(tmp_path, picture):
    file = picture(tmp_path / "in" / "1.png").rename(tmp_path / "in" / "noname")
    rows = {"filepath": [str(file)], "label": ["a"]}
    export_dataset(create_dataset("bare", rows), tmp_path / "out", "folders")
    assert (tmp_path / "out/a/noname.png").exists()


def test_hard_links_share_the_file_and_fall_back_to_copies(pets, tmp_path, monkeypatch):
    done = export_dataset(pets, tmp_path / "linked", "folders", link=True)
    assert (done.linked, done.copied) == (5, 0)
    source = tmp_path / "pets/train/dog/3.png"
    assert os.path.samefile(tmp_path / "linked/train/dog/3.png", source)
    dry = export_dataset(pets, tmp_path / "x", "folders", link=True, dry_run=True)
    assert (dry.linked, dry.bytes) == (5, done.bytes)
    real, calls = os.link, []

    def some(*arguments):
        calls.append(arguments)
        if len(calls) > 2:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        real(*arguments)

    monkeypatch.setattr(os, "link", some)
    done = export_dataset(pets, tmp_path / "mixed", "folders", link=True)
    assert (done.linked, done.copied) == (2, 3)
    assert "2 images are hard links to their files; copied, because they could not be" in str(done)
    assert shape(tmp_path / "mixed") == shape(tmp_path / "linked")


# --- formats of other tools (tests/extras opens them with the tools) ---


@pytest.mark.parametrize("format", ["coco", "fiftyone", "label-studio"])
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_what_others_are_to_open_can_be_loaded_here_too(odd, tmp_path, format, suffix):
    export_dataset(odd, tmp_path / f"out{suffix}", format)
    again = load_dataset("again", tmp_path / f"out{suffix}")
    assert len(again) == len(odd)
    for a, b in zip(odd.view(), again.view(), strict=True):
        assert a.image.tobytes() == b.image.tobytes()
        assert (a.ground_truth, a.split) == (b.ground_truth, b.split)
    if format == "fiftyone":
        assert again.classes == odd.classes
        assert again.view().values("tags").tolist() == odd.view().values("tags").tolist()


def test_a_zip_of_hugging_faces_parquet_is_to_be_unpacked(odd, tmp_path):
    export_dataset(odd, tmp_path / "out.zip", "huggingface")
    with pytest.raises(LabelAuditError, match=r"contains a Hugging Face dataset: unpack it"):
        load_dataset("again", tmp_path / "out.zip")


# --- names ---


@given(st.lists(st.text(max_size=30), max_size=8))
def test_safe_names_are_safe_and_distinct(names):
    chosen = distinct_names(names)
    assert set(chosen) == set(names)
    assert len({key(name) for name in chosen.values()}) == len(chosen)
    for safe in chosen.values():
        assert safe == safe_name(safe)
        assert 0 < len(safe.encode()) <= 107
        assert not set(safe) & set('/\\:*?"<>|\0\n\r\t')
        assert safe not in (".", "..")
    shuffled = random.Random(0).sample(names, len(names))
    assert distinct_names(shuffled) == chosen


@pytest.mark.parametrize(
    ("name", "safe"),
    [("cat", "cat"), ("a/b", "a_b"), ("..", "_"), (".hidden", "_hidden"), ("CON", "_CON"),
     ("com1.x", "_com1.x"), ("dot.", "dot"), ("", "_"), ("日本", "日本"),
     ("__MACOSX", "___MACOSX")],
)  # fmt: skip
def test_safe_name(name, safe):
    assert safe_name(name) == safe


def test_class_names_that_differ_in_case_or_form_get_two_folders():
    assert len({key(v) for v in distinct_names(["Cat", "cat", "\u00e9", "e\u0301"]).values()}) == 4


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]),
                          st.lists(st.sampled_from(["a", "A", "1.png", "1-2.png"]), min_size=1,
                                   max_size=3)), max_size=12))  # fmt: skip
def test_places_are_never_the_same_nor_a_folder_of_another(wanted):
    places = UniquePaths()
    found = [places.add(folder, below, i) for i, (folder, below) in enumerate(wanted)]
    keys = [key(path) for path in found]
    assert len(set(keys)) == len(keys)
    assert not any(a != b and b.startswith(a + "/") for a in keys for b in keys)


# --- targets ---


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "manifest"])
def test_a_dry_run_says_what_is_then_written(odd, tmp_path, format):
    target = tmp_path / "out"
    dry = export_dataset(odd, target, format, dry_run=True)
    assert not target.exists()
    done = export_dataset(odd, target, format)
    written = shape(target)
    assert done.files == len(written) == dry.files
    assert done.bytes == sum(map(len, written.values()))
    assert format == "huggingface" or dry.bytes == done.bytes
    assert "would be written" in str(dry)
    assert "would" not in str(done)
    inside = zipfile.ZipFile(io.BytesIO(export_zip(odd.view(), format, "out")))
    assert {i: inside.read(i) for i in inside.namelist()}.keys() == written.keys()


def test_a_dry_run_of_a_manifest(odd, tmp_path):
    dry = export_dataset(odd, tmp_path / "m.csv", images=True, dry_run=True)
    assert list(tmp_path.glob("m*")) == []
    done = export_dataset(odd, tmp_path / "m.csv", images=True)
    assert (dry.files, dry.bytes) == (done.files, done.bytes)


def test_nothing_is_written_over_or_among_the_source(pets, tmp_path):
    def refused(target: Path, says: str, format="folders", **options) -> None:
        before = shape(tmp_path)
        with pytest.raises(LabelAuditError, match=says):
            export_dataset(pets, target, format, **options)
        assert shape(tmp_path) == before

    (tmp_path / "full").mkdir()
    (tmp_path / "full/1").write_text("x")
    refused(tmp_path / "full", "not empty")
    refused(tmp_path / "full/1", "already exists")
    refused(tmp_path / "full/1/out", "is a file")
    refused(tmp_path / "no/out", "does not exist")
    refused(tmp_path / "no/out.zip", "is not a folder")
    refused(tmp_path / "pets/out", "where the source images are")
    refused(tmp_path / "pets/train/cat/out.zip", "where the source images are")
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    refused(tmp_path / "link/out", "where the source images are")
    refused(tmp_path / "link/out", "where the source images are", "huggingface")
    refused(tmp_path / "full/m.csv", "images works only with", images=True)
    refused(tmp_path / "out", "is not a format", "tar")
    refused(tmp_path / "out.zip", "hard links", link=True)
    (tmp_path / "dir.csv").mkdir()
    refused(tmp_path / "dir.csv", "is a folder", "manifest")
    refused(tmp_path / "out.doc", r"\.csv, \.jsonl, \.parquet", "manifest")
    (tmp_path / "empty").mkdir()
    export_dataset(pets, tmp_path / "empty", "folders")
    export_dataset(pets, tmp_path / "pets/out", "folders", into_source=True)
    assert (tmp_path / "pets/out/train").is_dir()


def test_images_beside_a_manifest_take_no_other_folders_place(odd, tmp_path):
    (tmp_path / "m-images").mkdir()
    (tmp_path / "m-images/precious").write_text("x")
    with pytest.raises(LabelAuditError, match="m-images already exists"):
        export_dataset(odd, tmp_path / "m.csv", images=True)
    assert not (tmp_path / "m.csv").exists()


def test_a_missing_image_is_named_and_nothing_is_left(pets, tmp_path):
    (tmp_path / "pets/train/dog/3.png").unlink()
    for format in ("folders", "huggingface", "fiftyone", "label-studio"):
        for target in ("out", "out.zip"):
            with pytest.raises(LabelAuditError, match=r"dog/3\.png cannot be read .No such file"):
                export_dataset(pets, tmp_path / target, format)
    assert {path.name for path in tmp_path.iterdir()} == {"home", "pets"}


def test_a_full_disk_and_a_stop_leave_nothing(pets, tmp_path, monkeypatch):
    class Full:
        free = 10

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Full)
        with pytest.raises(LabelAuditError, match="only 10 bytes are free"):
            export_dataset(pets, tmp_path / "out", "folders")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(outputs.shutil, "copyfile", full)
        with pytest.raises(LabelAuditError, match=r"No space left on device\. Nothing was left"):
            export_dataset(pets, tmp_path / "out", "folders")
    with pytest.raises(StoppedError):
        export_dataset(pets, tmp_path / "out", "folders", task=Task(stop=lambda: True))
    assert {path.name for path in tmp_path.iterdir()} == {"home", "pets"}


@pytest.mark.system
def test_an_export_that_was_killed_is_cleared_away_by_the_next(pets, tmp_path, home):
    code = (
        "import labelaudit, labelaudit.export.outputs as outputs\n"
        "def wait(self):\n"
        "    print('made', flush=True)\n"
        "    input()\n"
        "outputs.FolderOutput._move_to_target = wait\n"
        f"labelaudit.export_dataset(labelaudit.load_dataset('pets'), {str(tmp_path / 'out')!r}, "
        "'folders')\n"
    )
    process = Program(code)
    assert process.stdout.readline() == "made\n"
    assert list(tmp_path.glob(".out.*/labels.csv"))
    export_dataset(pets, tmp_path / "other", "folders")
    assert list(tmp_path.glob(".out.*")), "it is still being made"
    process.kill()
    assert not (tmp_path / "out").exists()
    export_dataset(pets, tmp_path / "out", "folders")
    assert list(tmp_path.glob(".out.*")) == []
    assert shape(tmp_path / "out") == shape(tmp_path / "other")


def test_an_empty_view_is_reported(pets, tmp_path):
    with pytest.raises(LabelAuditError, match="no sample to export"):
        export_dataset(pets.view().match_tag("none"), tmp_path / "out", "folders")
    with pytest.raises(LabelAuditError, match="all 1 are removed"):
        export_dataset(pets.view().match_tag("removed"), tmp_path / "out", "folders")


def test_the_command_knows_every_format():
    from labelaudit.cli import export as command

    assert list(command.FORMATS) == list(FORMATS)
