"""Finds the file that a list means, where it is not exactly where the list says."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from functools import cached_property

from ..core.errors import LabelAuditError
from .files import Files
from .folder_names import split_name
from .source import is_image_name

_SERVER = re.compile(r"^(https?|ftp)://", re.IGNORECASE)
_BUCKET = re.compile(r"^(s3|gs|gcs|az|azure|abfss?|azure-blob|hdfs)://", re.IGNORECASE)
_DRIVE = re.compile(r"^[A-Za-z]:$")
SHOWN = 3  # files that a reason names


class ImageFinder:
    """The images of a source by name. The index is built when an image is not where a list says."""

    def __init__(self, files: Files) -> None:
        self._files = files

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Names in the source by the last part, with and without its suffix."""
        index = defaultdict(list)
        try:
            names = self._files.names
        except LabelAuditError:  # a folder around the list cannot be read
            names = []
        for name in names:
            if is_image_name(name) and not self._files.is_unsafe(name):
                last = _key(name.rpartition("/")[2])
                index[last].append(name)
                index[last.rpartition(".")[0]].append(name)
        return dict(index)

    def find(self, listed: str, base: str = "", split: str | None = None) -> tuple[str | None, str]:
        """Return the name in the source of an image in a list, or None and the reason.

        listed: the path in the list, in which '\\' may stand for '/', in any Unicode form, with or
        without a suffix. It may begin with folders of another machine. base: the folder of the
        list. split: of the list; its folder is preferred.
        """
        if reason := remote_reason(listed):
            return None, reason
        parts = _parts(listed)
        if not parts:
            return None, "there is no such file"
        last = _key(parts[-1])
        found = self._by_name.get(last, []) or self._by_name.get(_without_suffix(last), [])
        ranked = [(_shared(name, parts), name) for name in found if _is_same_kind(name, last)]
        ranked = [(n, name) for n, name in ranked
                  if n > 1 or len(parts) == 1 or posixpath.dirname(name) == base]  # fmt: skip
        best = max((count for count, _ in ranked), default=0)
        names = [name for count, name in ranked if count == best]
        for narrower in (
            [name for name in names if posixpath.dirname(name) == base],
            [name for name in names if split and _is_in_split(name, split)],
            [name for name in names if base and name.startswith(f"{base}/")],
        ):
            names = narrower if narrower else names
        if len(names) == 1:
            return names[0], ""
        if names:
            return None, (
                f"may be {' or '.join(names[:SHOWN])}: write its folder before its name in the list"
            )
        return None, "there is no such file"


def remote_reason(path: str) -> str | None:
    """Return why a file on a server is not read; None for any other path."""
    if _SERVER.match(path):
        return "is on a server, and remote files are not read: download it, and write its path"
    if _BUCKET.match(path):
        return (
            "is in object storage: put the list there, too, and load it by its address, or "
            "download the image"
        )
    return None


def _parts(path: str) -> list[str]:
    parts = re.split(r"[/\\]", path)
    while parts and (parts[0] in ("", ".", "..") or _DRIVE.match(parts[0])):
        parts = parts[1:]
    return [part for part in parts if part not in ("", ".")]


def _key(name: str) -> str:
    """Return a name in a form that is equal for all cases and Unicode forms of it."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", name).casefold()


def _without_suffix(name: str) -> str:
    return posixpath.splitext(name)[0] if is_image_name(name) else name


def _is_same_kind(name: str, last: str) -> bool:
    """Whether a file has the listed name; a name with a suffix of images means only itself."""
    own = _key(posixpath.basename(name))
    return own == last or (not is_image_name(last) and posixpath.splitext(own)[0] == last)


def _shared(name: str, parts: list[str]) -> int:
    """Return how many last parts of two paths are the same; the file's own name counts as one."""
    own = name.split("/")
    count = 1
    while count < min(len(own), len(parts)) and _key(own[-1 - count]) == _key(parts[-1 - count]):
        count += 1
    return count


def _is_in_split(name: str, split: str) -> bool:
    wanted = split_name(split)
    words = [split_name(part) for part in name.split("/")[:-1]]
    return wanted is not None and any(found and found.word == wanted.word for found in words)
