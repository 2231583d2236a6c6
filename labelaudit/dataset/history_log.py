"""Every change of labels and tags, written down ahead of it: who, when, what each sample was."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from ..storage import schema
from ..storage.tables import Store
from .columns import ADDING, MISSING, Frame

NOISE, RESTORE, RELABEL, TAG, UNTAG, VERDICTS, RETURN, PATCH = KINDS = (
    "noise", "restore", "relabel", "tag", "untag", "verdicts", "return", "patch",
)  # fmt: skip

LAST = "history, last line"  # key in the frame's cache


@dataclass(frozen=True)
class Cause:
    """Why labels or tags change: a word of KINDS, by whom, and what else is worth knowing."""

    kind: str
    who: str | None = None  # None: the user of this machine
    info: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One line of a dataset's history."""

    id: int
    time: str  # ISO 8601, UTC
    who: str
    kind: str
    count: int  # samples that changed
    info: dict


@dataclass(frozen=True)
class Differences:
    """What changes do to samples. Arrays (n,); tags as masks (n,) by name."""

    ids: np.ndarray
    label_before: np.ndarray  # int32, MISSING for none
    label_after: np.ndarray
    added: dict[str, np.ndarray]
    removed: dict[str, np.ndarray]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def user() -> str:
    """Who uses this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return "unknown"


def entries(frame: Frame) -> list[Entry]:
    """The changes that are in force, oldest first."""
    with frame.store.steady():
        rows = _rows(frame)
        if rows and rows[-1]["before"] == _stamp(frame):
            rows = rows[:-1]  # it was cut short before it happened
    return [
        Entry(row["id"], row["time"], row["who"], row["kind"], row["count"],
              json.loads(row["info"]))
        for row in rows
    ]  # fmt: skip


def noise_report(frame: Frame) -> dict | None:
    """What `noise` says of the mistakes that are in the labels now; None where there are none."""
    # where it was before there was a history: in `meta`
    report = last_noise(entries(frame), frame.meta.get("noise"))
    return report if report and report["changed"] else None


def last_noise(lines: list[Entry], otherwise: dict | None) -> dict | None:
    """The report of noise in force after these lines; `otherwise` where none of them tells."""
    told = [line.info["noise"] for line in lines if "noise" in line.info]
    return told[-1] if told else otherwise


def write_meta(store: Store, meta: dict) -> None:
    info = json.dumps({**meta, "format": schema.FORMAT})
    store.overwrite("meta", pa.table([[0], [info]], schema=schema.META), schema.META)


def settle(frame: Frame) -> None:
    """Under the dataset's lock, before annotations are written: forget a change that was cut short,
    while it can still be told that it was."""
    meta = frame.meta
    if ADDING in meta:  # without the classes that were not used yet
        write_meta(frame.store, {key: value for key, value in meta.items() if key != ADDING})
    last = _last(frame)
    if last and last["before"] == _stamp(frame):
        frame.store.delete("changes", f"change = {last['id']}")
        frame.store.delete("history", f"id = {last['id']}")
    frame.store.clear("annotations")


def record(frame: Frame, cause: Cause, what: Differences, tag_lists) -> None:
    """Under the dataset's lock, just ahead of the change itself.

    tag_lists: turns masks by tag name and a number of rows into lists of names.
    """
    settle(frame)
    last = _last(frame)
    entry = {
        "id": last["id"] + 1 if last else 1,
        "time": now(),
        "who": cause.who or user(),
        "kind": cause.kind,
        "count": len(what.ids),
        "before": _stamp(frame),
        "info": json.dumps(cause.info),
    }
    count = len(what.ids)
    changes = pa.table(
        [
            pa.array(np.full(count, entry["id"], np.int64)),
            pa.array(what.ids),
            nullable(what.label_before),
            nullable(what.label_after),
            tag_lists(what.added, count),
            tag_lists(what.removed, count),
        ],
        schema=schema.CHANGES,
    )
    # The line first: without it, rows of a change that was cut short would be taken for the next's.
    line = pa.Table.from_pylist([entry], schema=schema.HISTORY)
    frame.store.append("history", line, schema.HISTORY)
    frame.store.append("changes", changes, schema.CHANGES)
    frame.cached(LAST, frame.store.stamp("history"), lambda: entry)


def nullable(codes: np.ndarray) -> pa.Array:
    """Class indices for a table: null where MISSING."""
    return pa.array(codes, pa.int32(), mask=codes == MISSING)


def _rows(frame: Frame) -> list[dict]:
    rows = frame.store.read("history", schema.HISTORY.names)
    return [] if rows is None else rows.sort_by("id").to_pylist()


def _last(frame: Frame) -> dict | None:
    """The last line; read again only where somebody else wrote one."""
    with frame.store.steady():
        stamp = frame.store.stamp("history")
        return frame.cached(LAST, stamp, lambda: next(reversed(_rows(frame)), None))


def _stamp(frame: Frame) -> str:
    return json.dumps(frame.store.stamp("annotations"))
