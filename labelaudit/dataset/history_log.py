"""Records each change of labels and tags: who, when, and the previous state."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from ..storage import schema
from ..storage.tables import Store
from . import migrations
from .arrays import nullable, tag_lists
from .columns import Frame

NOISE, RESTORE, RELABEL, TAG, UNTAG, VERDICTS, RETURN, PATCH, SYNC, CLASSES = KINDS = (
    "noise",
    "restore",
    "relabel",
    "tag",
    "untag",
    "verdicts",
    "return",
    "patch",
    "sync",
    "classes",
)

LAST_ENTRY = "history, last entry"  # key in the frame's cache


@dataclass(frozen=True)
class Cause:
    """Why labels or tags change: one of KINDS, by whom, and details as JSON values."""

    kind: str
    who: str | None = None  # None: the user of this machine
    info: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One entry of a dataset's history."""

    id: int
    time: str  # ISO 8601, UTC
    who: str
    kind: str
    count: int  # samples that changed
    info: dict


@dataclass(frozen=True)
class Differences:
    """How samples change. Arrays (n,); tags as masks (n,) by name."""

    ids: np.ndarray
    label_before: np.ndarray  # int32, MISSING for no label
    label_after: np.ndarray
    added: dict[str, np.ndarray]
    removed: dict[str, np.ndarray]


def now() -> str:
    """Return the current time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user() -> str:
    """Return the name of the user of this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return "unknown"


def entries(frame: Frame) -> list[Entry]:
    """Return the changes that happened, oldest first. Raises NotFoundError if it was deleted."""
    with frame.steady():
        _ = frame.meta
        rows = migrations.without_interrupted_change(_rows(frame), frame.stamp("annotations"))
    return [
        Entry(
            row["id"], row["time"], row["who"], row["kind"], row["count"], json.loads(row["info"])
        )
        for row in rows
    ]


def noise_report(frame: Frame) -> dict | None:
    """Return the report of the noise that is in the labels now, or None."""
    report = last_noise(entries(frame), migrations.noise_before_history(frame.meta))
    return report if report and report["changed"] else None


def last_noise(changes: list[Entry], default: dict | None) -> dict | None:
    """Return the report of noise after these changes, or the default if none affects noise."""
    reports = [change.info["noise"] for change in changes if "noise" in change.info]
    return reports[-1] if reports else default


def write_meta(store: Store, meta: dict) -> None:
    """Write a dataset's own information, in the current format."""
    info = json.dumps({**meta, "format": schema.FORMAT})
    store.overwrite("meta", pa.table([[0], [info]], schema=schema.META), schema.META)


def record(frame: Frame, cause: Cause, differences: Differences) -> None:
    """Record a change, in the same transaction."""
    last, count = _last(frame), len(differences.ids)
    entry = {
        "id": last["id"] + 1 if last else 1,
        "time": now(),
        "who": cause.who or user(),
        "kind": cause.kind,
        "count": count,
        "before": None,
        "info": json.dumps(cause.info),
    }
    changes = pa.table(
        [
            pa.array(np.full(count, entry["id"], np.int64)),
            pa.array(differences.ids),
            nullable(differences.label_before),
            nullable(differences.label_after),
            tag_lists(differences.added, count),
            tag_lists(differences.removed, count),
        ],
        schema=schema.CHANGES,
    )
    row = pa.Table.from_pylist([entry], schema=schema.HISTORY)
    frame.append("history", row, schema.HISTORY)
    frame.append("changes", changes, schema.CHANGES)
    frame.derived(LAST_ENTRY, ["history"], lambda: entry)


def _rows(frame: Frame) -> list[dict]:
    rows = frame.read_rows("history", schema.HISTORY.names)
    return sorted(rows, key=lambda row: row["id"])


def _last(frame: Frame) -> dict | None:
    """Return the last entry, from the cache if nobody else wrote one."""
    return frame.derived(LAST_ENTRY, ["history"], lambda: next(reversed(_rows(frame)), None))
