"""Where data is stored: datasets under LABELAUDIT_HOME, and a local folder for everything else."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..core.errors import BadInputError, DamagedError, StorageError
from . import object_store, snapshot

DEFAULT_HOME = "~/.labelaudit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Folders beside a dataset's own on a local disk, which earlier versions used.
_NEW = ".new-"  # being built, or being deleted
_OLD = ".old-"  # being replaced


# --- the home ---


def home() -> str:
    """Return the root of all datasets: a folder, or a URI of object storage.

    Raises BadInputError if LABELAUDIT_HOME is any other URI.
    """
    value = os.environ.get("LABELAUDIT_HOME") or DEFAULT_HOME
    if object_store.is_remote(value):
        return object_store.clean(value)
    if value.startswith("file://"):
        value = unquote(urlsplit(value).path)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
        raise BadInputError(
            f"LABELAUDIT_HOME={value!r} cannot be used: give a folder, or "
            f"{', '.join(f'{scheme}://bucket/prefix' for scheme in object_store.SCHEMES)}."
        )
    return str(Path(value).expanduser().absolute())


def is_remote() -> bool:
    """Return whether datasets are stored in object storage."""
    return object_store.is_remote(home())


def local_home() -> Path:
    """Return a folder on this machine for locks, downloads and jobs, even if `home` is remote.

    Raises StorageError if it cannot be created.
    """
    folder = Path(DEFAULT_HOME).expanduser() if is_remote() else Path(home())
    try:
        # private to its user; to share a home, create it first
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be used to store datasets ({error.strerror}): "
            "set LABELAUDIT_HOME to a folder that you may write to."
        ) from error
    return folder


def jobs_folder() -> Path:
    """Return the folder of this machine's jobs on the datasets of this home."""
    if not is_remote():
        return local_home() / "jobs"
    return local_home() / "remote" / _digest(home()) / "jobs"


# --- names and places of datasets ---


def check_name(name: str, kind: str = "dataset") -> str:
    """Return `name` if it is safe as a folder and table name, else raise BadInputError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise BadInputError(
            f"{name!r} cannot be a {kind} name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or a digit."
        )
    return name


def dataset_uri(name: str) -> str:
    """Return a dataset's folder. Its tables are in a subfolder, see `snapshot`."""
    return f"{home()}/datasets/{check_name(name)}"


def dataset_names() -> list[str]:
    """Return the sorted names of the folders under `home`, of finished datasets and others."""
    root = f"{home()}/datasets"
    if object_store.is_remote(root):
        names = set(object_store.level_below(root)[0])
    else:
        names = set(_folders(root))
    return sorted(name for name in names if _NAME.fullmatch(name))


def lock_path(name: str) -> Path:
    """Return the lock file of a dataset's writers. Datasets of two homes never share one."""
    return local_home() / "locks" / f"{_unique_name(name)}.lock"


def lease_uri(name: str) -> str:
    """Return the object that locks a dataset in object storage."""
    return f"{home()}/locks/{check_name(name)}.json"


def marks(name: str) -> Path:
    """Return the folder of the files that mark tables which are being written."""
    return lock_path(name).with_suffix("")


def checkpoints(name: str) -> Path:
    """Return the folder of a dataset's unfinished trainings, always on this machine."""
    return local_home() / "checkpoints" / _unique_name(name)


def _unique_name(name: str) -> str:
    """Return a file name that differs between datasets of the same name in two homes."""
    return f"{name}-{_digest(dataset_uri(name))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _folders(path: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


# --- folders, local or remote ---


def is_missing(uri: str) -> bool:
    """Return whether a local folder does not exist. False in object storage, without a request."""
    return not object_store.is_remote(uri) and not os.path.isdir(uri)


def has_files(uri: str) -> bool:
    """Return whether this folder exists and has content."""
    if object_store.is_remote(uri):
        return object_store.has_below(uri)
    return os.path.isdir(uri) and any(os.scandir(uri))


def remove(uri: str) -> None:
    """Delete a folder with its content, if it exists."""
    if object_store.is_remote(uri):
        object_store.delete_below(uri)
    elif os.path.isdir(uri):
        shutil.rmtree(uri)


def remove_temporary(uri: str) -> None:
    """Delete the unfinished files (`.tmp…`) that a killed LanceDB left below a local folder."""
    if not object_store.is_remote(uri):
        for file in Path(uri).rglob(".tmp*"):
            file.unlink(missing_ok=True)


def remove_checkpoints(name: str) -> None:
    """Delete the unfinished trainings of a dataset."""
    shutil.rmtree(checkpoints(name), ignore_errors=True)


# --- what interrupted imports, replacements and deletions left ---


def leftover_names() -> list[str]:
    """Return the datasets with an interrupted import, replacement or deletion, or one under way."""
    names = set()
    for name in dataset_names():
        with suppress(DamagedError):
            names |= {name} if has_leftovers(name) else set()
    if not is_remote():
        folders = _folders(f"{home()}/datasets")
        names |= {name[len(_NEW) :] for name in folders if name.startswith((_NEW, _OLD))}
        for folder in (local_home() / "checkpoints").glob("*-*"):
            name = folder.name.rpartition("-")[0]
            if _NAME.fullmatch(name) and folder == checkpoints(name):
                names |= {name} if is_missing(dataset_uri(name)) else set()
    return sorted(name for name in names if _NAME.fullmatch(name))


def has_leftovers(name: str) -> bool:
    """Return whether parts of this dataset's folder do not belong to it."""
    return snapshot.Pointer(dataset_uri(name)).has_leftovers()


def remove_leftovers(name: str) -> None:
    """Remove them. Needs the dataset's lock."""
    if not is_remote():
        new, old = (f"{home()}/datasets/{prefix}{check_name(name)}" for prefix in (_NEW, _OLD))
        if os.path.isdir(old) and not os.path.isdir(dataset_uri(name)):
            os.rename(old, dataset_uri(name))  # an earlier version was killed while replacing it
        remove(new)
        remove(old)
    snapshot.Pointer(dataset_uri(name)).remove_leftovers()
    if is_missing(dataset_uri(name)):
        remove_checkpoints(name)
