"""A zip of class folders, or of a manifest with its images. Nothing is extracted to disk."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ..errors import LabelAuditError
from ..schema import CLASS_LIST_SUFFIX
from . import manifest
from .class_list import class_list_of, parse_class_list
from .source import Row, Source, classes_of, is_image_name
from .tree import read_tree

MAX_MEMBER_BYTES = 256 << 20  # one image, expanded
MAX_TOTAL_BYTES = 100 << 30  # all of them


def open_archive(path: Path) -> Source:
    """Images are kept inside the dataset, under the names that they have in the archive."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise LabelAuditError(f"{path} is not a whole zip archive: {error}.") from error
    members = {info.filename: info for info in archive.infolist() if _wanted(info)}
    total = sum(info.file_size for info in members.values())
    if total > MAX_TOTAL_BYTES:
        raise LabelAuditError(
            f"{path} would expand to {total / 2**30:.0f} GiB, over the limit of "
            f"{MAX_TOTAL_BYTES / 2**30:.0f} GiB: unpack it and load the folder."
        )

    def load(row: Row) -> bytes:
        info = members.get(row["filepath"])
        if info is None:
            raise KeyError("there is no such file in the archive")
        if info.file_size > MAX_MEMBER_BYTES:
            raise ValueError(
                f"expands to {info.file_size >> 20} MiB, over {MAX_MEMBER_BYTES >> 20}"
            )
        return archive.read(info)

    description = f"archive {path.name}"
    listing = _manifest_member(members)
    if listing:
        try:
            data = archive.read(listing)
        except Exception as error:  # zip readers raise many kinds on broken members
            raise LabelAuditError(f"{path}: {listing} cannot be read: {error}.") from error
        folder, company = PurePosixPath(listing).parent, class_list_of(listing)
        known = parse_class_list(archive.read(company)) if company in members else None
        table = manifest.read_manifest(data, f"{path.name}/{listing}", exact=known is not None)
        return manifest.manifest_source(
            description, table, lambda name: _inside(folder / name), load,
            known and known["classes"],
        )  # fmt: skip
    return _class_folders(path, description, [n for n in members if is_image_name(n)], load)


def _class_folders(path: Path, description: str, files: list[str], load) -> Source:
    files.sort()
    if not files:
        raise LabelAuditError(
            f"{path} holds neither images nor a manifest: zip one folder a class, or a manifest "
            f"({', '.join(sorted(manifest.SUFFIXES))}) with its images."
        )
    places = read_tree(files)
    if all(label is None for label, _ in places):
        raise LabelAuditError(
            f"the {len(files):,} images of {path} lie in no class folders: "
            "zip one folder a class, or add a manifest."
        )

    def rows() -> Iterator[Row]:
        for file, (label, split) in zip(files, places, strict=True):
            if _leads_out(file):
                source.skipped.add(file, "its path leads out of the archive")
            elif label is None:
                source.skipped.add(file, "lies in no class folder")
            else:
                yield {"filepath": file, "label": label, "split": split}

    inside = zip(files, places, strict=True)
    classes = classes_of([label for file, (label, _) in inside if not _leads_out(file)])
    source = Source(description, classes, len(files), rows, load=load)
    return source


def _leads_out(file: str) -> bool:
    return ".." in PurePosixPath(file).parts or file.startswith("/")


def _wanted(info: zipfile.ZipInfo) -> bool:
    parts = PurePosixPath(info.filename).parts
    hidden = any(p.startswith("__MACOSX") or (p.startswith(".") and p != "..") for p in parts)
    return not info.is_dir() and not hidden


def _manifest_member(members: dict[str, zipfile.ZipInfo]) -> str | None:
    """The one table at the top of the archive, or in the one folder around everything."""
    parts = [PurePosixPath(name).parts for name in members]
    tops = {p[0] for p in parts}
    depth = 2 if len(tops) == 1 and all(len(p) > 1 for p in parts) else 1
    tables = [
        name
        for name in members
        if len(PurePosixPath(name).parts) <= depth
        and PurePosixPath(name).suffix.lower() in manifest.SUFFIXES
        and not name.endswith(CLASS_LIST_SUFFIX)
    ]
    if len(tables) > 1:
        raise LabelAuditError(
            f"the archive has several manifests ({', '.join(sorted(tables))}): leave one in it."
        )
    return tables[0] if tables else None


def _inside(path: PurePosixPath) -> str:
    """The member that a relative path names: `a/../b.jpg` is `b.jpg`."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
