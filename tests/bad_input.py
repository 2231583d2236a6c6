"""A corpus of bad and hostile input, made by code, and what happens to each of it.

`python tests/bad_input.py` writes docs/bad-input.md; a test keeps it current.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

import labelaudit
from labelaudit.core.errors import LabelAuditError

PAGE = Path(__file__).resolve().parents[1] / "docs/bad-input.md"
SIDE = 50_000  # pixels that a header claims
HEAD = """# What happens to bad input

Made by `python tests/bad_input.py`, which builds each of these files and gives it to LabelAudit; a
test keeps this page as it is. Refused: nothing is made, and this is said (`LabelAuditError`).
Left out: the rest loads, and the image is listed with this reason in `dataset.info["skipped"]`.
"""


@dataclass(frozen=True)
class Case:
    what: str
    make: Callable[[Path], object]  # builds it in a folder, and gives what is loaded


def small(kind: str = "PNG", seed: int = 0, **options) -> bytes:
    """A picture of 12 x 10 pixels."""
    pixels = np.random.default_rng(seed).integers(0, 255, (10, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


# --- images: each lies beside a good one ---


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 12, height: int = 10, end: bool = True) -> bytes:
    """Grey, with further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * (13 * 10)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + rows + chunk(b"IEND", b"") * end


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(small("JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_that_claims(width: int, height: int) -> bytes:
    data = bytearray(small("GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def tiff_that_claims(width: int, height: int) -> bytes:
    data = bytearray(small("TIFF"))
    start = struct.unpack("<I", data[4:8])[0]
    for i in range(struct.unpack("<H", data[start : start + 2])[0]):
        at = start + 2 + 12 * i
        tag = struct.unpack("<H", data[at : at + 2])[0]
        if tag in (256, 257):
            data[at + 2 : at + 12] = struct.pack("<HII", 4, 1, width if tag == 256 else height)
    return bytes(data)


def bmp_that_claims(width: int, height: int) -> bytes:
    data = bytearray(small("BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def exif_jpeg(exif: bytes) -> bytes:
    data = small("JPEG")
    block = b"Exif\0\0" + exif
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]


def animation() -> bytes:
    frames = [Image.new("RGB", (12, 10), (i, 0, 0)) for i in range(1, 60)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


# Orientation is said to lie 4 GB further on, and there are 65,535 entries of which none is there.
EXIF_ODD = b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 274, 3, 2**31, 2**32 - 9)
TEXT = zlib.compress(b"A" * (64 << 20), 9)  # 64 MB in 64 kB
PROFILE = zlib.compress(os.urandom(64) * (16 << 14), 9)

IMAGES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a file of zero bytes": ("x.png", lambda: b""),
    "text under the name of an image": ("x.jpg", lambda: b"hello\n"),
    "a PNG cut in the middle": ("x.png", lambda: small()[:-60]),
    "a JPEG cut in the middle": ("x.jpg", lambda: small("JPEG")[:-120]),
    "a GIF cut after its header": ("x.gif", lambda: small("GIF")[:20]),
    "a TIFF cut in the middle": ("x.tiff", lambda: small("TIFF")[:60]),
    "a PNG without its end mark": ("x.png", lambda: png(end=False)),
    "a PNG under the name of a JPEG": ("x.jpg", small),
    "a PNG header that claims 50,000 x 50,000": ("x.png", lambda: png(width=SIDE, height=SIDE)),
    "a PNG header that claims 2,147,483,647 x 1": ("x.png", lambda: png(width=2**31 - 1, height=1)),
    "a PNG header of 0 x 0": ("x.png", lambda: png(width=0, height=0)),
    "a JPEG header that claims 50,000 x 50,000": (
        "x.jpg", lambda: jpeg_that_claims(SIDE, SIDE)),
    "a GIF header that claims 50,000 x 50,000": ("x.gif", lambda: gif_that_claims(SIDE, SIDE)),
    "a TIFF header that claims 50,000 x 50,000": ("x.tif", lambda: tiff_that_claims(SIDE, SIDE)),
    "a BMP header that claims 50,000 x 50,000": ("x.bmp", lambda: bmp_that_claims(SIDE, SIDE)),
    "a PPM header that claims 50,000 x 50,000": ("x.ppm", lambda: b"P6 50000 50000 255\n\0\0"),
    "a PNG header that claims 13,000 x 13,000": ("x.png", lambda: png(width=13000, height=13000)),
    "an animated GIF of 59 frames": ("x.gif", animation),
    "a JPEG with 64 kB of senseless EXIF": ("x.jpg", lambda: exif_jpeg(b"\xaa" * 65_000)),
    "a JPEG whose EXIF claims 2,147,483,648 values": ("x.jpg", lambda: exif_jpeg(EXIF_ODD)),
    "a JPEG whose EXIF turns it by 99": ("x.jpg", lambda: exif_jpeg(
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 3, 1, 99) + b"\0" * 4)),
    "a PNG with a text of 64 MB in 64 kB": ("x.png", lambda: png(
        chunk(b"zTXt", b"Comment\0\0" + TEXT))),
    "a PNG with a plain text of 8 MB": ("x.png", lambda: png(
        chunk(b"tEXt", b"Comment\0" + b"A" * (8 << 20)))),
    "a PNG with a colour profile of 16 MB": ("x.png", lambda: png(
        chunk(b"iCCP", b"p\0\0" + PROFILE))),
    "a PNG with a senseless colour profile": ("x.png", lambda: png(
        chunk(b"iCCP", b"p\0\0" + b"no zlib"))),
    "a PNG whose checksum is wrong": ("x.png", lambda: png().replace(b"IDATx", b"IDATy")),
}  # fmt: skip


def image_rows(folder: Path) -> Iterator[tuple[str, str]]:
    """All of them lie in one folder, and are loaded at once."""
    (folder / "in/cat").mkdir(parents=True)
    (folder / "in/cat/good.png").write_bytes(small(seed=1))
    names = {f"{i:02d}{name}": what for i, (what, (name, _)) in enumerate(IMAGES.items())}
    for name, what in names.items():
        (folder / "in/cat" / name).write_bytes(IMAGES[what][1]())
    skipped = labelaudit.load_dataset("x", folder / "in").info["skipped"]["files"]
    reasons = {Path(entry["file"]).name: entry["why"] for entry in skipped}
    for name, what in names.items():
        yield what, f"skipped: {_plain(reasons[name], folder)}" if name in reasons else "loads"


# --- zips: each holds a good image, too ---


def zip_case(what: str, fill: Callable[[zipfile.ZipFile], object], method=zipfile.ZIP_DEFLATED):
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "x.zip", "w", method) as archive:
            archive.writestr("cat/good.png", small(seed=1))
            fill(archive)
        return folder / "x.zip"

    return Case(what, make)


def patched_zip(what: str, patch: Callable[[bytes], bytes]) -> Case:
    def make(folder: Path) -> Path:
        path = zip_case(what, lambda a: a.writestr("cat/x.png", small())).make(folder)
        path.write_bytes(patch(path.read_bytes()))
        return path

    return Case(what, make)


def link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("cat/x.png")
    info.external_attr = 0o120777 << 16
    archive.writestr(info, "/etc/passwd")


def twice(archive: zipfile.ZipFile) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in (2, 3):
            archive.writestr("cat/x.png", small(seed=seed))


def claims(data: bytes, size: int) -> bytes:
    """The last member, cat/x.png, says that it expands to `size` bytes."""
    at = data.rindex(b"PK\1\2")
    return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]


def encrypted(data: bytes) -> bytes:
    """The flag of the last member says so."""
    central, local = data.rindex(b"PK\1\2"), data.rindex(b"PK\3\4")
    data = data[: central + 8] + b"\1" + data[central + 9 :]
    return data[: local + 6] + b"\1" + data[local + 7 :]


def many_claims(folder: Path) -> Path:
    """40 files that say they are 4 GB each, at the cost of some bytes."""
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for i in range(40):
            archive.writestr(f"cat/{i}.png", small())
    data = (folder / "x.zip").read_bytes()
    pieces = data.split(b"PK\1\2")
    grown = [p[:20] + struct.pack("<I", 2**32 - 2) + p[24:] for p in pieces[1:]]
    (folder / "x.zip").write_bytes(b"PK\1\2".join([pieces[0], *grown]))
    return folder / "x.zip"


def huge_directory(data: bytes) -> bytes:
    at = data.rindex(b"PK\5\6")
    return data[: at + 12] + struct.pack("<I", 1 << 30) + data[at + 16 :]


ZIPS = [
    zip_case("a zip with ../x.png", lambda a: a.writestr("../x.png", small())),
    zip_case("a zip with /etc/x.png", lambda a: a.writestr("/etc/x.png", small())),
    zip_case("a zip with C:\\x.png", lambda a: a.writestr("C:\\cat\\x.png", small())),
    zip_case("a zip with C:/cat/x.png", lambda a: a.writestr("C:/cat/x.png", small())),
    zip_case("a zip with a symbolic link", link),
    zip_case("a zip with one name twice", twice),
    zip_case("a zip with a zip in it", lambda a: a.writestr("cat/inner.zip", b"PK")),
    patched_zip("a zip with an encrypted image", encrypted),
    patched_zip("a zip cut in the middle", lambda data: data[:-100]),
    patched_zip("a zip whose member claims 4 GB", lambda data: claims(data, 2**32 - 2)),
    patched_zip("a zip whose member is broken", lambda data: data[:150]
                + data[150:].replace(b"IDAT", b"!DAT")),
    patched_zip("a zip whose list of files claims 1 GB", huge_directory),
    Case("a zip of 40 files that claim 4 GB each", many_claims),
    zip_case("a zip of a list that leads out of it", lambda a: a.writestr(
        "labels.csv", "file_name,label\ncat/good.png,cat\n../../etc/passwd,dog\n/etc/passwd,dog")),
]  # fmt: skip


# --- lists of images: the good one is listed, too ---


def list_case(what: str, content: str | bytes, name: str = "m.csv") -> Case:
    def make(folder: Path) -> Path:
        (folder / "good.png").write_bytes(small(seed=1))
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        return folder / name

    return Case(what, make)


def parquet_of_many(folder: Path) -> Path:
    """A few kB that hold 60,000,000 rows: one value, 60,000,000 times."""
    import pyarrow as pa
    from pyarrow import parquet

    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000_000, np.int8)), ["a.png"])
    table = pa.table({"filepath": name, "label": name})
    with parquet.ParquetWriter(folder / "m.parquet", table.schema) as writer:
        for _ in range(6):
            writer.write_table(table, row_group_size=10_000_000)
    return folder / "m.parquet"


LISTS = [
    list_case("a CSV parted by |", "filepath|label\ngood.png|cat\n"),
    list_case("a CSV parted by ;", "filepath;label\ngood.png;cat\n"),
    list_case("a CSV in UTF-8 with a byte order mark", "\ufefffilepath,label\ngood.png,cat\n"),
    list_case("a CSV in UTF-16", "filepath,label\ngood.png,cät\n".encode("utf-16")),
    list_case("a CSV in Latin-1", "filepath,label\ngood.png,cät\n".encode("latin-1")),
    list_case("an empty CSV", ""),
    list_case("a CSV with a header alone", "filepath,label\n"),
    list_case("a CSV without labels", "filepath,name\ngood.png,cat\n"),
    list_case("a CSV with a column twice", "filepath,label,label\ngood.png,a,b\n"),
    list_case("a CSV with a short row", "filepath,label\ngood.png,cat\ngood.png\n"),
    list_case("a CSV with a long row", "filepath,label\ngood.png,cat\ngood.png,cat,dog\n"),
    list_case("a CSV with an id twice", "filepath,label,id\ngood.png,a,1\nb.png,b,2\nc.png,c,1\n"),
    list_case("a CSV with an id that is no number", "filepath,label,id\ngood.png,a,first\n"),
    list_case("a CSV with an id that is too large", f"filepath,label,id\ngood.png,a,{2**63}\n"),
    list_case("a CSV with a negative id", "filepath,label,id\ngood.png,a,-1\n"),
    list_case("a CSV with an empty path", "filepath,label\ngood.png,cat\n,cat\n"),
    list_case("a CSV with formulas", "filepath,label\ngood.png,'=1+1\n"),
    list_case("a CSV with a NUL byte in a path", "filepath,label\ngood\0.png,cat\n"),
    list_case("a CSV with a NUL byte in a label", "filepath,label\ngood.png,c\0at\n"),
    list_case("a CSV with a path of 100,000 letters", f"filepath,label\n{'a' * 100_000},x\n"),
    list_case("a CSV with a row of 6 MB", f"filepath,label\ngood.png,{'a' * 6_000_000}\n"),
    list_case("a CSV with a quote that is never closed",
              'filepath,label\n"good.png,cat\n' + "x.png,dog\n" * 500_000),
    list_case("a CSV of a binary file", bytes(range(256)) * 40),
    list_case("a CSV with a tag of 100 letters", f"filepath,label,tags\ngood.png,a,{'t' * 100}\n"),
    list_case("a Parquet file that is none", "PAR1 and nothing else", "m.parquet"),
    Case("a Parquet file of a few kB with 60,000,000 rows", parquet_of_many),
    list_case("JSON lines with a broken line", '{"filepath": "good.png", "label": "a"}\n{"fil',
              "m.jsonl"),
    list_case("JSON nested 100,000 deep", "[" * 100_000, "m.json"),
    list_case("JSON of numbers", "[1, 2]", "m.json"),
    list_case("JSON with a number of 10,000 digits",
              '[{"filepath": "good.png", "label": %s}]' % ("9" * 10_000), "m.json"),
    list_case("JSON with half a character", '[{"filepath": "good.png", "label": "\\ud800"}]',
              "m.json"),
    list_case("JSON whose path is a list", '[{"filepath": ["good.png"], "label": "a"}]', "m.json"),
    list_case("COCO whose annotations are numbers", json.dumps(
        {"images": [], "annotations": [1], "categories": []}), "m.json"),
]  # fmt: skip


# --- class names: each is the folder's or the list's ---

NAMES = {
    "right to left": "قطة",
    "a mark that turns the text around": "cat\u202egod",
    "letters of no width": "c\u200bat\u200d",
    "300 letters": "x" * 300,
    "100,000 letters": "x" * 100_000,
    "a leading dot": ".hidden",
    "CON, which Windows keeps for itself": "CON",
    "a blank alone": " ",
    "a blank of no width alone": "\u200b",
    "HTML": "<script>alert(1)</script>",
    "quotes of SQL": "'; DROP TABLE samples; --",
    "a line break": "cat\ndog",
    "a formula": "=cmd|'/c calc'!A1",
    "Markdown that would call out": "![x](http://127.0.0.1:9/x.png)",
}


def name_case(what: str) -> Case:
    def make(folder: Path) -> Path:
        (folder / "good.png").write_bytes(small(seed=1))
        rows = [{"filepath": "good.png", "label": "plain"},
                {"filepath": "good.png", "label": NAMES[what]}]  # fmt: skip
        (folder / "m.json").write_text(json.dumps(rows))
        return folder / "m.json"

    return Case(f"a class name: {what}", make)


# --- files with label changes ---

LINE = {"file": "good.png", "before": "a", "change": "relabel", "after": "b", "by": ["ann"],
        "at": "2026-03-01T12:00:00+00:00"}  # fmt: skip
HEADER = {"format": "labelaudit-patch", "version": 1, "dataset": "x", "classes": ["a", "b"],
          "made": "2026-03-01T12:00:00+00:00"}  # fmt: skip


def patch_case(what: str, *lines) -> Case:
    def make(folder: Path) -> labelaudit.Dataset:
        dataset = labelaudit.load_dataset("x", list_case(
            "", "filepath,label\ngood.png,a\n").make(folder))  # fmt: skip
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        (folder / "x.labels.jsonl").write_text("\n".join(texts), errors="surrogatepass")
        labelaudit.apply_patch(dataset, folder / "x.labels.jsonl")
        return dataset

    return Case(what, make)


def issues_case(what: str, content: str | bytes, name: str = "issues.csv") -> Case:
    def make(folder: Path) -> labelaudit.Dataset:
        dataset = labelaudit.load_dataset("x", list_case(
            "", "filepath,label\ngood.png,a\n").make(folder))  # fmt: skip
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name).write_bytes(data)
        labelaudit.import_issues(dataset, folder / name)
        return dataset

    return Case(what, make)


ISSUES = [
    issues_case("issues in an empty CSV", ""),
    issues_case("issues in a CSV of a binary file", bytes(range(256)) * 4),
    issues_case("issues without a column of them", "id,score\n1,0.5\n"),
    issues_case("issues of an id of 10^300", "id,is_label_issue\n1e300,True\n"),
    issues_case("issues of an infinite id", "id,is_label_issue\ninf,True\n"),
    issues_case("an issue that is neither true nor false", "id,is_label_issue\n1,perhaps\n"),
    issues_case("an issue of another sample", "id,is_label_issue\n7,True\n"),
    issues_case("issues in JSON nested 100,000 deep", "[" * 100_000, "issues.jsonl"),
    issues_case("issues in a Parquet file that is none", "PAR1", "issues.parquet"),
]

PATCHES = [
    patch_case("an empty patch"),
    patch_case("a patch of HTML", "<html>"),
    patch_case("a patch of another version", HEADER | {"version": 2}),
    patch_case("a patch that names ../../etc/passwd", HEADER, LINE | {"file": "../../etc/passwd"}),
    patch_case("a patch with a class of its own", HEADER, LINE | {"after": "<b>"}),
    patch_case("a patch with a line of 2 MB", HEADER, LINE | {"x": "a" * (2 << 20)}),
    patch_case("a patch nested 100,000 deep", HEADER, "[" * 100_000),
    patch_case("a patch with two outcomes", HEADER, LINE, LINE | {"after": "a"}),
    patch_case("a patch with an id of 2^70", HEADER, {k: v for k, v in LINE.items() if k != "file"}
               | {"id": 2**70}),
]  # fmt: skip

IN_ONE = "Images"
GROUPS: dict[str, list[Case]] = {
    IN_ONE: [],
    "Zips": ZIPS,
    "Lists of images": LISTS,
    "Class names": [name_case(what) for what in NAMES],
    "What cleanlab found": ISSUES,
    "Patches": PATCHES,
}


def outcome(case: Case, folder: Path) -> str:
    """What happens, in words that say nothing of the folder."""
    try:
        made = case.make(folder)
        dataset = made if isinstance(made, labelaudit.Dataset) else labelaudit.load_dataset(
            "x", made)  # fmt: skip
    except LabelAuditError as error:
        return f"refused: {_plain(str(error), folder)}"
    skipped = dataset.info["skipped"]
    reasons = [f"skipped: {_plain(entry['why'], folder)}" for entry in skipped["files"]]
    return "; ".join(dict.fromkeys(reasons)) or "loads"


def _plain(text: str, folder: Path) -> str:
    text = text.replace(f"{folder}/", "")
    assert str(folder) not in text
    return text


def rows(group: str) -> Iterator[tuple[str, str]]:
    """(what, what happens) of all cases of a group, each in a home of its own."""
    before = os.environ.get("LABELAUDIT_HOME")
    try:
        if group == IN_ONE:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LABELAUDIT_HOME"] = f"{folder}/home"
                yield from image_rows(Path(folder))
        for case in GROUPS[group]:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LABELAUDIT_HOME"] = f"{folder}/home"
                yield case.what, outcome(case, Path(folder))
    finally:
        os.environ.pop("LABELAUDIT_HOME", None)
        if before is not None:
            os.environ["LABELAUDIT_HOME"] = before


def cell(text: str) -> str:
    text = re.sub(r"([\\|<>*_`\[\]~])", r"\\\1", text)
    return text if len(text) <= 300 else text[:299] + "…"


def page(found: dict[str, list[tuple[str, str]]]) -> str:
    parts = [HEAD]
    for group, lines in found.items():
        parts.append(f"\n## {group}\n\n| what | what happens |\n| --- | --- |\n")
        parts += [f"| {cell(what)} | {cell(happens)} |\n" for what, happens in lines]
    return "".join(parts)


if __name__ == "__main__":
    text = page({group: list(rows(group)) for group in GROUPS})
    PAGE.write_text(text) if "--print" not in sys.argv else print(text)
