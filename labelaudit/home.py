"""Where things lie: datasets under LABELAUDIT_HOME, and a local folder for locks and downloads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from pyarrow import fs

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from .errors import LabelAuditError

DEFAULT_HOME = "~/.labelaudit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def home() -> str:
    """The root under which datasets are kept: a folder, or any URI that LanceDB takes."""
    value = os.environ.get("LABELAUDIT_HOME") or DEFAULT_HOME
    return value.rstrip("/") if "://" in value else str(Path(value).expanduser().absolute())


def local_home() -> Path:
    """A folder on this machine for locks, downloads and jobs, also when `home` is a remote URI."""
    root = home()
    folder = Path(DEFAULT_HOME).expanduser() if "://" in root else Path(root)
    try:
        # a home that it makes is its user's alone; one that others share is made by them
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabelAuditError(
            f"{folder} cannot be used to keep datasets ({error.strerror}): "
            "set LABELAUDIT_HOME to a folder that you may write to."
        ) from error
    return folder


def check_name(name: str, what: str = "dataset") -> str:
    """Return `name` if it is safe as a folder and table name, else say what is wrong with it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise LabelAuditError(
            f"{name!r} cannot be a {what} name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or a digit."
        )
    return name


def dataset_uri(name: str) -> str:
    return f"{home()}/datasets/{check_name(name)}"


def dataset_names() -> list[str]:
    """Names of the folders under `home`, finished or not, sorted."""
    filesystem, root = _filesystem(f"{home()}/datasets")
    entries = filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
    names = {entry.base_name for entry in entries if entry.type == fs.FileType.Directory}
    aside = {name.removeprefix(".old-") for name in names if name.startswith(".old-")}
    return sorted(name for name in names | aside if _NAME.fullmatch(name))


def unfinished_uri(name: str) -> str:
    """Where a dataset is built before it takes its place; its name is no dataset's."""
    return f"{home()}/datasets/.new-{check_name(name)}"


def is_missing(uri: str) -> bool:
    """Whether a local folder is not there. Object storage is not asked: it has no folders."""
    filesystem, path = _filesystem(uri)
    local = isinstance(filesystem, fs.LocalFileSystem)
    return local and not os.path.isdir(path)


def has_files(uri: str) -> bool:
    """Whether there is anything in this folder; False where it is not there."""
    filesystem, path = _filesystem(uri)
    return bool(filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True)))


def remove(uri: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    filesystem, path = _filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        filesystem.delete_dir(path)


def take_away(name: str) -> None:
    """Delete a dataset, of which nothing is left to see from the first moment on.

    On a local disk by renaming it first: a kill leaves what `leftover_names` tells.
    """
    filesystem, path = _filesystem(dataset_uri(name))
    if isinstance(filesystem, fs.LocalFileSystem):
        remove(unfinished_uri(name))
        os.rename(path, _filesystem(unfinished_uri(name))[1])
        remove(unfinished_uri(name))
    remove(dataset_uri(name))


def leftover_names() -> list[str]:
    """Datasets that were being built, replaced or deleted when that was killed, or are now. None in
    object storage: there is no telling which of the two, nor on which machine."""
    if "://" in home():
        return []
    names = {path.name[len(".new-") :] for path in Path(home(), "datasets").glob(".[no][el][wd]-*")}
    for folder in (local_home() / "checkpoints").glob("*-*"):
        name = folder.name.rpartition("-")[0]
        if _NAME.fullmatch(name) and folder == checkpoints(name) and is_missing(dataset_uri(name)):
            names.add(name)
    return sorted(name for name in names if _NAME.fullmatch(name))


def clear_away(name: str) -> None:
    """Under the dataset's lock: remove what is left of a load, a replacement or a deletion."""
    put_back(name)
    remove(unfinished_uri(name))
    remove(_aside_uri(name))
    if is_missing(dataset_uri(name)):
        remove_checkpoints(name)


def remove_temporary(uri: str) -> None:
    """Delete the files below a local folder that LanceDB was writing to when it was killed: until
    they are whole they are called `.tmp…`, and it never looks at them again."""
    filesystem, path = _filesystem(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        for file in Path(path).rglob(".tmp*"):
            file.unlink(missing_ok=True)


def put_in_place(name: str) -> None:
    """Let the dataset that was built at `unfinished_uri` take the place of the one there is.

    On a local disk by renaming, and a kill between the two leaves what `put_back` mends; in object
    storage, which cannot rename, by copying.
    """
    source, target, aside = unfinished_uri(name), dataset_uri(name), _aside_uri(name)
    filesystem, source_path = _filesystem(source)
    target_path = _filesystem(target)[1]
    if not isinstance(filesystem, fs.LocalFileSystem):
        remove(target)
        fs.copy_files(source, target)
        remove(source)
        return
    remove(aside)
    if os.path.isdir(target_path):
        os.rename(target_path, _filesystem(aside)[1])
    try:
        os.rename(source_path, target_path)
    except OSError:
        put_back(name)
        raise
    remove(aside)


def put_back(name: str) -> None:
    """Undo a replacement that was cut short, under the dataset's lock."""
    if is_set_aside(name):
        os.rename(_aside_uri(name), dataset_uri(name))


def is_set_aside(name: str) -> bool:
    """Whether a replacement is under way, or was killed, between its two renames."""
    if "://" in home():
        return False
    return os.path.isdir(_aside_uri(name)) and not os.path.isdir(dataset_uri(name))


def _aside_uri(name: str) -> str:
    return f"{home()}/datasets/.old-{check_name(name)}"


def lock_path(name: str) -> Path:
    """The lock file of a dataset's writers: by URI, so that two homes never share one."""
    folder = local_home() / "locks"
    with suppress(OSError):  # where nothing may be written one may still read
        folder.mkdir(exist_ok=True)
    return folder / f"{_unmistakable(name)}.lock"


def marks(name: str) -> Path:
    """The folder of the files that are held while a dataset's tables are written."""
    return lock_path(name).with_suffix("")


def checkpoints(name: str) -> Path:
    """The folder of a dataset's unfinished trainings: on this machine, also of a remote `home`."""
    return local_home() / "checkpoints" / _unmistakable(name)


def remove_checkpoints(name: str) -> None:
    shutil.rmtree(checkpoints(name), ignore_errors=True)


def _unmistakable(name: str) -> str:
    digest = hashlib.sha256(dataset_uri(name).encode()).hexdigest()[:12]
    return f"{name}-{digest}"


def is_held(lock: Path, shared: bool = False) -> bool:
    """Whether a process holds this lock; asked so that askers do not see each other.

    shared: of one that several may hold (`holding.py`), where askers do.
    """
    if not lock.exists():
        return False
    if fcntl is None:
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True
    try:
        with lock.open() as file:
            fcntl.flock(file, (fcntl.LOCK_EX if shared else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except FileNotFoundError:  # removed since
        return False
    except BlockingIOError:
        return True
    return False


def _filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    if "://" in uri:
        return fs.FileSystem.from_uri(uri)
    return fs.LocalFileSystem(), uri
