"""Reads and writes objects in object storage (s3://, gs://, az://), and explains its errors.

Objects are named by URI, `s3://bucket/some/key`. Credentials and the endpoint come from the usual
environment variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT …), which
LanceDB reads as well. The package obstore is imported when a URI is first used.

All functions raise StorageError if the storage fails, and NotFoundError for a missing bucket.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache

from ..core.errors import BadInputError, LabelAuditError, NotFoundError, StorageError

SCHEMES = ("s3", "gs", "az")
_SETTINGS = ("AWS_", "GOOGLE_", "AZURE_")  # prefixes of variables that a connection depends on
_SHOWN_LENGTH = 300  # characters shown of the storage's own message
# An unreachable storage is reported within seconds. LanceDB, which waits longer, is asked later.
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_TIMEOUTS = {"connect_timeout": "5s", "timeout": "60s"}


def is_remote(place: str | os.PathLike) -> bool:
    """Return whether this is a URI of object storage, not a path."""
    return str(place).split("://", 1)[0] in SCHEMES and "://" in str(place)


def clean(uri: str) -> str:
    """Normalise a URI: without empty parts, '.' and '..'. It never leaves the bucket."""
    scheme, _, rest = uri.partition("://")
    bucket, _, path = rest.partition("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return f"{scheme}://{'/'.join([bucket, *parts])}"


def read(uri: str) -> tuple[bytes, str] | None:
    """Return an object and its ETag, or None if it does not exist."""
    with _connection(uri) as (obstore, store, key):
        try:
            found = obstore.get(store, key)
            return found.bytes().to_bytes(), found.meta["e_tag"]
        except FileNotFoundError as error:
            _raise_for_bucket(error, uri)
            return None


def write(uri: str, data: bytes) -> str:
    """Write a small object, replacing an existing one. Returns its ETag."""
    with _connection(uri) as (obstore, store, key):
        return obstore.put(store, key, data, use_multipart=False)["e_tag"]


def write_if(uri: str, data: bytes, etag: str | None) -> str | None:
    """Write an object if the existing one has this ETag (None: if none exists).

    Returns the new ETag, or None if another writer was faster.
    """
    with _connection(uri) as (obstore, store, key):
        mode = "create" if etag is None else {"e_tag": etag}
        try:
            return obstore.put(store, key, data, mode=mode, use_multipart=False)["e_tag"]
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            return None
        except NotImplementedError as error:
            raise StorageError(
                f"the storage of {uri} does not support conditional writes, which protect a "
                "dataset from two writers: use one that does (If-Match and If-None-Match of S3)."
            ) from error


def size(uri: str) -> int | None:
    """Return the size of an object in bytes, or None if it does not exist."""
    with _connection(uri) as (obstore, store, key):
        try:
            return obstore.head(store, key)["size"]
        except FileNotFoundError as error:
            _raise_for_bucket(error, uri)
            return None


def read_range(uri: str, start: int, length: int) -> bytes:
    """Read `length` bytes of an object from `start` on. Raises NotFoundError if it is missing."""
    with _connection(uri) as (obstore, store, key):
        return obstore.get_range(store, key, start=start, length=length).to_bytes()


def read_up_to(uri: str, limit: int) -> bytes:
    """Read a whole object of at most `limit` bytes.

    Raises LookupError if it does not exist, and ValueError if it is larger.
    """
    with _connection(uri) as (obstore, store, key):
        try:
            found = obstore.get(store, key)
        except FileNotFoundError as error:
            _raise_for_bucket(error, uri)
            raise LookupError("there is no such file") from error
        size = found.meta["size"]
        if size <= limit:
            return found.bytes().to_bytes()
    raise ValueError(f"has {size >> 20:,} MiB, over {limit >> 20}")


def names_below(uri: str) -> Iterator[str]:
    """Yield the names of all objects below a prefix, relative to it, in order of their keys."""
    with _connection(uri) as (obstore, store, key):
        for page in obstore.list(store, key or None):
            for entry in page:
                yield entry["path"].removeprefix(key).lstrip("/")


def level_below(uri: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the objects directly below a prefix."""
    with _connection(uri) as (obstore, store, key):
        found = obstore.list_with_delimiter(store, key or None)
    objects = [entry["path"] for entry in found["objects"]]
    return _last_parts(found["common_prefixes"]), _last_parts(objects)


def _last_parts(paths: Iterable[str]) -> list[str]:
    return [path.rstrip("/").rpartition("/")[2] for path in paths]


def has_below(uri: str) -> bool:
    """Return whether there is any object below this prefix."""
    with _connection(uri) as (obstore, store, key):
        return any(len(page) for page in obstore.list(store, key or None, chunk_size=1))


def delete(uri: str) -> None:
    """Delete an object, if it exists."""
    with _connection(uri) as (obstore, store, key), suppress(FileNotFoundError):
        obstore.delete(store, key)


def delete_below(uri: str) -> None:
    """Delete all objects below a prefix, a thousand at a time."""
    with _connection(uri) as (obstore, store, key):
        for page in obstore.list(store, key, chunk_size=1000):
            paths = [entry["path"] for entry in page]
            with suppress(FileNotFoundError):  # another process deleted them
                obstore.delete(store, paths)


class RangeFile(io.RawIOBase):
    """An object as a seekable file. Each read is a request, so wrap it in a buffer."""

    def __init__(self, uri: str, length: int) -> None:
        self._uri, self._length, self._at = uri, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def readinto(self, buffer) -> int:
        count = min(len(buffer), self._length - self._at)
        if count <= 0:
            return 0
        buffer[:count] = read_range(self._uri, self._at, count)
        self._at += count
        return count


# --- inside ---


@contextmanager
def _connection(uri: str):
    """Yield (obstore, a connection to the bucket, the key), and translate errors."""
    bucket, key = _parts(uri)
    try:
        import obstore
    except ImportError as error:
        raise StorageError(
            f"{bucket} is object storage, which needs the package obstore: pip install obstore "
            "(or labelaudit[object-storage])."
        ) from error
    try:
        yield obstore, connect(bucket, settings()), key
    except FileNotFoundError as error:
        _raise_for_bucket(error, uri)
        raise NotFoundError(f"{uri} does not exist: check its name.") from error
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        raise translated(error, uri) from error


def translated(error: Exception, uri: str) -> LabelAuditError:
    """Return the error to raise for an error of obstore, of LanceDB, or of the network.

    Only the text of these errors says what happened, so it is searched here and nowhere else.
    """
    text = str(error)
    bucket = _parts(uri)[0]
    endpoint = os.environ.get("AWS_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL")
    is_s3 = uri.startswith("s3:")
    where = f"{bucket} at {endpoint}" if endpoint and is_s3 else bucket
    if _NO_BUCKET in text:
        return NotFoundError(f"{where} does not exist: check the bucket's name, or create it.")
    for pattern, explanation in _EXPLANATIONS:
        if (is_s3 or "AWS_" not in explanation) and re.search(pattern, text, re.IGNORECASE):
            return StorageError(f"{where} {explanation}.")
    message = re.search(r"<Message>(.*?)</Message>", text)
    message = message[1] if message else " ".join(text.split("Debug source")[0].split())
    return StorageError(f"{where} could not be used: {message[:_SHOWN_LENGTH].rstrip('. ')}.")


_NO_BUCKET = "NoSuchBucket"
_EXPLANATIONS = (
    (r"latest/api/token|latest/meta-data|169\.254\.169\.254|InstanceCredentials|"
     r"no ?credentials|CredentialsNotLoaded",
     "was not contacted, because there are no credentials: set AWS_ACCESS_KEY_ID and "
     "AWS_SECRET_ACCESS_KEY"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|InvalidClientTokenId|"
     r"401 Unauthorized|Unauthenticated",
     "refuses the credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
     "AWS_SESSION_TOKEN"),
    (r"AccessDenied|403 Forbidden|PermissionDenied",
     "does not allow this with these credentials: get permission to list, read, write and delete "
     "there, or use other credentials"),
    (r"AuthorizationHeaderMalformed|PermanentRedirect|BareRedirect|IllegalLocationConstraint",
     "is in another region: set AWS_REGION to the bucket's region"),
    (r"URL scheme is not allowed|BadScheme",
     "uses http, which is not allowed by default: set AWS_ALLOW_HTTP=true"),
    (r"error sending request|Connect|dns error|timed? ?out",
     "cannot be reached: check the network and AWS_ENDPOINT, or start the server"),
)  # fmt: skip


def _raise_for_bucket(error: Exception, uri: str) -> None:
    """Raise NotFoundError if an object is missing because its bucket is."""
    if _NO_BUCKET in str(error):
        raise translated(error, uri) from error


def _parts(uri: str) -> tuple[str, str]:
    """Split a URI into `s3://bucket` and the key. Raises BadInputError if it names no bucket."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise BadInputError(f"{uri!r} names no bucket: write {scheme}://bucket/prefix.")
    return f"{scheme}://{bucket}", key.strip("/")


def settings() -> tuple[tuple[str, str], ...]:
    """Return the environment variables that a connection depends on, with their values."""
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS)))


@lru_cache(16)
def connect(bucket: str, settings: tuple):
    """Return the obstore store of a bucket. Tests replace this function.

    settings: part of the cache key, so changed settings reconnect.
    """
    from obstore.store import from_url

    allowed = dict(settings).get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    return from_url(
        bucket, retry_config=_RETRIES, client_options={**_TIMEOUTS, "allow_http": allowed}
    )
