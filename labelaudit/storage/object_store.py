"""Object storage (s3://, gs://, az://): what is asked of it beside LanceDB, and in clear words.

Everything here goes by URI, `s3://bucket/some/key`. Credentials and endpoint come from the usual
variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT …), which LanceDB
reads as well. It needs the package obstore, which is imported where a URI is first used.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache

from ..core.errors import LabelAuditError

SCHEMES = ("s3", "gs", "az")
_SETTINGS = ("AWS_", "GOOGLE_", "AZURE_")  # variables that a connection depends on
_SHOWN = 300  # characters of the storage's own words
# Down is told within seconds; LanceDB is asked only after this was.
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_PATIENCE = {"connect_timeout": "5s", "timeout": "60s"}


def is_remote(place: str | os.PathLike) -> bool:
    """Whether this is a URI of object storage, and no path."""
    return str(place).split("://", 1)[0] in SCHEMES and "://" in str(place)


def clean(uri: str) -> str:
    """A URI without empty parts and without dots; '..' leads up, but never out of the bucket."""
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
    """An object and its ETag; None where there is none."""
    with _told(uri) as (obstore, store, key):
        try:
            found = obstore.get(store, key)
            return found.bytes().to_bytes(), found.meta["e_tag"]
        except FileNotFoundError as error:
            _raise_for_bucket(error, uri)
            return None


def write(uri: str, data: bytes) -> str:
    """Write a small object, whatever was there. Returns its ETag."""
    with _told(uri) as (obstore, store, key):
        return obstore.put(store, key, data, use_multipart=False)["e_tag"]


def write_if(uri: str, data: bytes, etag: str | None) -> str | None:
    """Write an object if the one there still has this ETag (None: if there is none).

    Returns its ETag; None where somebody else was faster.
    """
    with _told(uri) as (obstore, store, key):
        mode = "create" if etag is None else {"e_tag": etag}
        try:
            return obstore.put(store, key, data, mode=mode, use_multipart=False)["e_tag"]
        except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
            return None
        except NotImplementedError as error:
            raise LabelAuditError(
                f"the storage of {uri} knows no conditional writes, which keep two writers apart: "
                "use one that does (If-Match and If-None-Match of S3)."
            ) from error


def size(uri: str) -> int | None:
    """Bytes of an object; None where there is none."""
    with _told(uri) as (obstore, store, key):
        try:
            return obstore.head(store, key)["size"]
        except FileNotFoundError as error:
            _raise_for_bucket(error, uri)
            return None


def read_range(uri: str, start: int, length: int) -> bytes:
    """Bytes of an object, from `start` on. Raises LabelAuditError where there is none."""
    with _told(uri) as (obstore, store, key):
        return obstore.get_range(store, key, start=start, length=length).to_bytes()


def read_up_to(uri: str, limit: int) -> bytes:
    """All of an object. Raises LookupError where there is none, ValueError where it is larger."""
    with _told(uri) as (obstore, store, key):
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
    """Of all objects below a prefix, relative to it, in order of their keys."""
    with _told(uri) as (obstore, store, key):
        for page in obstore.list(store, key or None):
            for entry in page:
                yield entry["path"].removeprefix(key).lstrip("/")


def level_below(uri: str) -> tuple[list[str], list[str]]:
    """Names of what lies directly below a prefix: of what has more below it, and of objects."""
    with _told(uri) as (obstore, store, key):
        found = obstore.list_with_delimiter(store, key or None)
        objects = [entry["path"] for entry in found["objects"]]
        return tuple(
            [path.rstrip("/").rpartition("/")[2] for path in paths]
            for paths in (found["common_prefixes"], objects)
        )


def has_below(uri: str) -> bool:
    """Whether there is any object below this prefix."""
    with _told(uri) as (obstore, store, key):
        return any(len(page) for page in obstore.list(store, key or None, chunk_size=1))


def delete(uri: str) -> None:
    with _told(uri) as (obstore, store, key), suppress(FileNotFoundError):
        obstore.delete(store, key)


def delete_below(uri: str) -> None:
    """Delete all objects below a prefix, a thousand at a time."""
    with _told(uri) as (obstore, store, key):
        for page in obstore.list(store, key, chunk_size=1000):
            paths = [entry["path"] for entry in page]
            with suppress(FileNotFoundError):  # somebody else did
                obstore.delete(store, paths)


class RangeFile(io.RawIOBase):
    """An object as a file that can be sought in; each read is a request: buffer it."""

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
def _told(uri: str):
    """(obstore, a connection to the bucket, the key); what goes wrong, in one sentence."""
    bucket, key = _parts(uri)
    try:
        import obstore
    except ImportError as error:
        raise LabelAuditError(
            f"{bucket} is object storage, which needs the package obstore: pip install obstore "
            "(or labelaudit[object-storage])."
        ) from error
    try:
        yield obstore, connect(bucket, settings()), key
    except FileNotFoundError as error:
        _raise_for_bucket(error, uri)
        raise LabelAuditError(f"{uri} is not there: check its name.") from error
    except obstore.exceptions.BaseError as error:
        raise LabelAuditError(explain(error, uri)) from error
    except (OSError, ValueError) as error:
        raise LabelAuditError(explain(error, uri)) from error


def explain(error: Exception, uri: str) -> str:
    """What an error of the storage means to whoever set it up, in a sentence."""
    text = str(error)
    bucket = _parts(uri)[0]
    endpoint = os.environ.get("AWS_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL")
    is_s3 = uri.startswith("s3:")
    where = f"{bucket} at {endpoint}" if endpoint and is_s3 else bucket
    for pattern, words in _MEANS:
        if (is_s3 or "AWS_" not in words) and re.search(pattern, text, re.IGNORECASE):
            return f"{where} {words}."
    said = re.search(r"<Message>(.*?)</Message>", text)
    said = said[1] if said else " ".join(text.split("Debug source")[0].split())
    return f"{where} could not be used: {said[:_SHOWN].rstrip('. ')}."


_MEANS = (
    (r"NoSuchBucket", "does not exist: check the bucket's name, or make it first"),
    (r"latest/api/token|latest/meta-data|169\.254\.169\.254|InstanceCredentials|"
     r"no ?credentials|CredentialsNotLoaded",
     "was not asked, as there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|InvalidClientTokenId|"
     r"401 Unauthorized|Unauthenticated",
     "refuses the credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
     "AWS_SESSION_TOKEN"),
    (r"AccessDenied|403 Forbidden|PermissionDenied",
     "does not allow this with these credentials: get the right to list, read, write and delete "
     "there, or use others"),
    (r"AuthorizationHeaderMalformed|PermanentRedirect|BareRedirect|IllegalLocationConstraint",
     "lies in another region: set AWS_REGION to the bucket's"),
    (r"URL scheme is not allowed|BadScheme", "is spoken to by http: set AWS_ALLOW_HTTP=true"),
    (r"error sending request|Connect|dns error|timed? ?out",
     "cannot be reached: check the network and AWS_ENDPOINT, or start the server"),
)  # fmt: skip


def _raise_for_bucket(error: Exception, uri: str) -> None:
    if "NoSuchBucket" in str(error):
        raise LabelAuditError(explain(error, uri)) from error


def _parts(uri: str) -> tuple[str, str]:
    """`s3://bucket` and the key. Raises LabelAuditError where there is no bucket."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise LabelAuditError(f"{uri!r} names no bucket: write {scheme}://bucket/prefix.")
    return f"{scheme}://{bucket}", key.strip("/")


def settings() -> tuple[tuple[str, str], ...]:
    """The variables, with their values, that a connection depends on."""
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS)))


@lru_cache(16)
def connect(bucket: str, settings: tuple):
    """The obstore store of a bucket, cached for these settings. Tests replace this function."""
    from obstore.store import from_url

    allowed = dict(settings).get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    return from_url(
        bucket, retry_config=_RETRIES, client_options={**_PATIENCE, "allow_http": allowed}
    )
