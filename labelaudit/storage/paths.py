"""Where things lie: datasets under LABELAUDIT_HOME, and a local folder for locks and downloads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from ..core.errors import LabelAuditError
from . import object_store, snapshot_pointer
from .lease import HeldError, Lease
from .lease import is_held as is_leased

DEFAULT_HOME = "~/.labelaudit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def home() -> str:
    """The root under which datasets are kept: a folder, or a URI of object storage.

    Raises LabelAuditError for any other URI.
    """
    value = os.environ.get("LABELAUDIT_HOME") or DEFAULT_HOME
    if object_store.is_remote(value):
        return object_store.clean(value)
    if value.startswith("file://"):
        value = unquote(urlsplit(value).path)
    elif re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", value):
        raise LabelAuditError(
            f"LABELAUDIT_HOME={value!r} cannot be used: give a folder, or "
            f"{', '.join(f'{scheme}://bucket/prefix' for scheme in object_store.SCHEMES)}."
        )
    return str(Path(value).expanduser().absolute())


def is_remote() -> bool:
    """Whether datasets are kept in object storage."""
    return object_store.is_remote(home())


def local_home() -> Path:
    """A folder on this machine for locks, downloads and jobs, also when `home` is a remote URI."""
    folder = Path(DEFAULT_HOME).expanduser() if is_remote() else Path(home())
    try:
        # a home that it makes is its user's alone; one that others share is made by them
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LabelAuditError(
            f"{folder} cannot be used to keep datasets ({error.strerror}): "
            "set LABELAUDIT_HOME to a folder that you may write to."
        ) from error
    return folder


def jobs_folder() -> Path:
    """Where this machine's jobs on the datasets of this home are."""
    if not is_remote():
        return local_home() / "jobs"
    return local_home() / "remote" / hashlib.sha256(home().encode()).hexdigest()[:12] / "jobs"


def check_name(name: str, what: str = "dataset") -> str:
    """Return `name` if it is safe as a folder and table name, else say what is wrong with it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name:
        raise LabelAuditError(
            f"{name!r} cannot be a {what} name: use 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or a digit."
        )
    return name


def dataset_uri(name: str) -> str:
    """Its folder. In object storage the tables lie in it, or in a folder of it: `tables_uri`."""
    return f"{home()}/datasets/{check_name(name)}"


def tables_uri(name: str) -> str:
    """Where a dataset's tables lie now."""
    uri = dataset_uri(name)
    return snapshot_pointer.tables_uri(uri) if object_store.is_remote(uri) else uri


def dataset_names() -> list[str]:
    """Names of the folders under `home`, finished or not, sorted."""
    root = f"{home()}/datasets"
    if object_store.is_remote(root):
        names = set(object_store.level_below(root)[0])
    else:
        names = set(_folders(root))
        names |= {name.removeprefix(".old-") for name in names if name.startswith(".old-")}
    return sorted(name for name in names if _NAME.fullmatch(name))


def unfinished_uri(name: str) -> str:
    """Where a dataset is built before it takes its place. In object storage another each time."""
    if is_remote():
        return snapshot_pointer.new_uri(dataset_uri(name))
    return f"{home()}/datasets/.new-{check_name(name)}"


def is_missing(uri: str) -> bool:
    """Whether a local folder is not there. Object storage is not asked: it has no folders."""
    return not object_store.is_remote(uri) and not os.path.isdir(uri)


def has_files(uri: str) -> bool:
    """Whether there is anything in this folder; False where it is not there."""
    if object_store.is_remote(uri):
        return object_store.has_below(uri)
    return os.path.isdir(uri) and any(os.scandir(uri))


def remove(uri: str) -> None:
    """Delete a folder with all that is in it, if it is there."""
    if object_store.is_remote(uri):
        object_store.delete_below(uri)
    elif os.path.isdir(uri):
        shutil.rmtree(uri)


def take_away(name: str) -> None:
    """Delete a dataset, of which nothing is left to see from the first moment on.

    On a local disk by renaming it first: a kill leaves what `leftover_names` tells.
    """
    if is_remote():
        snapshot_pointer.take_away(dataset_uri(name))
        return
    remove(unfinished_uri(name))
    os.rename(dataset_uri(name), unfinished_uri(name))
    remove(unfinished_uri(name))


def leftover_names() -> list[str]:
    """Datasets that were being built, replaced or deleted when that was killed, or are now."""
    if is_remote():
        return [name for name in dataset_names() if has_leftovers(name)]
    names = {path.name[len(".new-") :] for path in Path(home(), "datasets").glob(".[no][el][wd]-*")}
    for folder in (local_home() / "checkpoints").glob("*-*"):
        name = folder.name.rpartition("-")[0]
        if _NAME.fullmatch(name) and folder == checkpoints(name) and is_missing(dataset_uri(name)):
            names.add(name)
    return sorted(name for name in names if _NAME.fullmatch(name))


def has_leftovers(name: str) -> bool:
    """Whether `leftover_names` has this one."""
    if is_remote():
        return snapshot_pointer.has_leftovers(dataset_uri(name))
    return name in leftover_names()


def clear_away(name: str) -> None:
    """Under the dataset's lock: remove what is left of a load, a replacement or a deletion."""
    if is_remote():
        snapshot_pointer.clear(dataset_uri(name))
        return
    put_back(name)
    remove(unfinished_uri(name))
    remove(_aside_uri(name))
    if is_missing(dataset_uri(name)):
        remove_checkpoints(name)


def remove_temporary(uri: str) -> None:
    """Delete the files below a local folder that LanceDB was writing to when it was killed: until
    they are whole they are called `.tmp…`, and it never looks at them again."""
    if not object_store.is_remote(uri):
        for file in Path(uri).rglob(".tmp*"):
            file.unlink(missing_ok=True)


def put_in_place(name: str, source: str) -> None:
    """Let the dataset that was built at this `unfinished_uri` take the place of the one there is.

    On a local disk by renaming, and a kill between the two leaves what `put_back` mends; in object
    storage by one write.
    """
    if is_remote():
        snapshot_pointer.put_in_place(dataset_uri(name), source)
        return
    target, aside = dataset_uri(name), _aside_uri(name)
    remove(aside)
    if os.path.isdir(target):
        os.rename(target, aside)
    try:
        os.rename(source, target)
    except OSError:
        put_back(name)
        remove(source)
        raise
    remove(aside)


def put_back(name: str) -> None:
    """Undo a replacement that was cut short, under the dataset's lock."""
    if is_set_aside(name):
        os.rename(_aside_uri(name), dataset_uri(name))


def is_set_aside(name: str) -> bool:
    """Whether a replacement is under way, or was killed, between its two renames."""
    if is_remote():
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


def lease(name: str) -> Lease | None:
    """What keeps other machines' writers away from a dataset in object storage; None elsewhere."""
    return Lease(_lease_uri(name)) if is_remote() else None


@contextmanager
def locked(name: str, seconds: float) -> Iterator[None]:
    """Hold the lock of a dataset's writers. Raises TimeoutError where others hold it for longer."""
    beyond = lease(name)
    with FileLock(lock_path(name), timeout=seconds):  # its Timeout is a TimeoutError
        try:
            if beyond:
                beyond.acquire(seconds)
        except HeldError as error:
            raise TimeoutError(str(error)) from error
        try:
            yield
        finally:
            if beyond:
                beyond.release()


def is_locked(name: str) -> bool:
    """Whether somebody writes to this dataset now, or died doing so in object storage."""
    return is_held(lock_path(name)) or (is_remote() and is_leased(_lease_uri(name)))


def _lease_uri(name: str) -> str:
    return f"{home()}/locks/{check_name(name)}.json"


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


def _folders(path: str) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(path) if entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
