"""Changes to labels and tags: read, change, write back, under the dataset's writer lock."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..storage import schema
from . import history_log
from .columns import ADDING, FINISHED, GONE, MISSING, PREDICTING, Frame, as_ids, find
from .history_log import Cause, Differences, nullable, write_meta

_TAG = re.compile(r"[^\s;]([^;\n\r]{0,62}[^\s;])?")  # ';' parts the tags of a CSV cell


def check_tag(tag: str) -> str:
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise LabelAuditError(
            f"{tag!r} cannot be a tag: use 1 to 64 characters on one line, without ';' "
            "and with no blanks at the ends."
        )
    return tag


def tag(frame: Frame, ids: Sequence[int] | np.ndarray, name: str) -> int:
    """Set a tag on these samples. Returns how many did not have it."""
    check_tag(name)
    return change(
        frame, ids, lambda rows: rows.set_tag(name, True), _tagging(history_log.TAG, name)
    )


def untag(frame: Frame, ids: Sequence[int] | np.ndarray, name: str) -> int:
    """Take a tag from these samples. Returns how many had it."""
    cause = _tagging(history_log.UNTAG, name)
    return change(frame, ids, lambda rows: rows.set_tag(name, False), cause)


def _tagging(kind: str, name: str) -> Cause | None:
    return None if name in schema.QUIET_TAGS else Cause(kind, info={"tag": name})


def set_labels(
    frame: Frame, ids: Sequence[int] | np.ndarray, labels: str | Sequence[str | None] | None
) -> int:
    """Give these samples new labels: one class name for all, or one each; None takes it away.

    The first label a sample had is kept as its `original_label`. Returns how many changed.
    """
    ids = as_ids(ids)
    names = [labels] * len(ids) if labels is None or isinstance(labels, str) else list(labels)
    if len(names) != len(ids):
        raise LabelAuditError(f"{len(ids)} ids but {len(names)} labels were given: give one each.")
    if len(np.unique(ids)) != len(ids):
        raise LabelAuditError("an id is given twice, so its label would be ambiguous.")
    codes = frame.class_codes(names)
    return change(frame, ids, lambda rows: rows.set_label(codes), Cause(history_log.RELABEL))


@contextmanager
def growing(frame: Frame, meta: dict) -> Iterator[None]:
    """Under the dataset's lock and settled: `meta` with further classes or another next id, and in
    the body the one write of annotations that needs them. A kill between leaves neither to be seen.
    """
    now, before = frame.meta, json.dumps(frame.store.stamp("annotations"))
    adding = {"known": len(now["classes"]), "next_id": now["next_id"], "before": before}
    write_meta(frame.store, {**meta, ADDING: adding})
    yield
    write_meta(frame.store, meta)


def _growing_by(frame: Frame, classes: Sequence[str]) -> AbstractContextManager:
    meta = frame.meta
    return growing(frame, {**meta, "classes": [*meta["classes"], *classes]})


def announce_predictions(frame: Frame, table: str) -> None:
    """Write down that predictions are about to be written, with the table's stamp as it is."""
    with frame.store.writing():
        meta = frame.meta
        stamp = json.dumps(frame.store.stamp(table))
        announced = {table: stamp, **meta.get(PREDICTING, {})}  # an earlier stamp stays
        if announced != meta.get(PREDICTING):
            write_meta(frame.store, {**meta, PREDICTING: announced})


def settle_predictions(frame: Frame) -> None:
    """Tag what was predicted by finished runs since it was announced, also by a process that was
    killed in between."""
    with frame.store.steady():
        done, over = _predicted(frame)
    if not over:
        return
    with frame.store.writing():
        for table in done:
            ids = frame.store.read(table, ["id"])["id"].to_numpy()
            tag(frame, ids[find(frame.ids, ids)[1]], schema.PROCESSED)
        meta = frame.meta
        rest = {key: stamp for key, stamp in meta[PREDICTING].items() if key not in over}
        meta = {key: value for key, value in meta.items() if key != PREDICTING}
        write_meta(frame.store, {**meta, PREDICTING: rest} if rest else meta)


def _predicted(frame: Frame) -> tuple[list[str], list[str]]:
    """Tables of predictions that were announced and are there now; and those, with those that are
    of a run that is gone."""
    announced = frame.meta.get(PREDICTING, {})
    if not announced:
        return [], []
    rows = frame.store.read("runs", ["id", "state"])
    state = {schema.table("predictions", row["id"]): row["state"] for row in rows.to_pylist()}
    done = [
        table for table, stamp in announced.items()
        if state.get(table) == FINISHED and json.dumps(frame.store.stamp(table)) != stamp
    ]  # fmt: skip
    return done, done + [table for table in announced if state.get(table, GONE) == GONE]


class Rows:
    """Some samples' annotations, held for a change. Arrays are in the order of the ids given."""

    def __init__(self, frame: Frame, ids: np.ndarray) -> None:
        at = frame.positions(ids)
        self.ids = ids
        self.label = frame.label[at].copy()
        self.original_label = frame.original_label[at].copy()
        self.tags = {name: mask[at].copy() for name, mask in frame.tags.items()}
        self._before = self.label, dict(self.tags)  # each change makes new arrays
        self.changed = np.zeros(len(ids), bool)

    def set_label(self, codes: np.ndarray) -> None:
        differs = self.label != codes
        first = np.where(self.original_label == MISSING, self.label, self.original_label)
        self.original_label = np.where(
            differs, np.where(first == codes, MISSING, first), self.original_label
        )
        self.label = np.where(differs, codes, self.label)
        self.changed |= differs

    def set_tag(self, name: str, present: bool | np.ndarray) -> None:
        """`present`: one answer for all rows, or a mask."""
        before = self.tags.get(name, np.zeros(len(self.ids), bool))
        after = np.broadcast_to(np.asarray(present), before.shape).copy()
        self.changed |= before != after
        self.tags[name] = after

    def differences(self) -> Differences:
        """What changed, of the samples that did."""
        keep = np.flatnonzero(self.changed)
        label, tags = self._before
        before = {name: tags.get(name, np.zeros(len(self.ids), bool)) for name in self.tags}
        return Differences(
            self.ids[keep],
            label[keep],
            self.label[keep],
            {name: (mask & ~before[name])[keep] for name, mask in self.tags.items()},
            {name: (~mask & before[name])[keep] for name, mask in self.tags.items()},
        )

    def to_table(self) -> pa.Table:
        """The changed rows, as the annotations table holds them."""
        keep = np.flatnonzero(self.changed)
        return pa.table(
            [
                pa.array(self.ids[keep]),
                nullable(self.label[keep]),
                nullable(self.original_label[keep]),
                tag_lists({name: mask[keep] for name, mask in self.tags.items()}, len(keep)),
            ],
            schema=schema.ANNOTATIONS,
        )


def change(
    frame: Frame,
    ids: Sequence[int] | np.ndarray,
    edit: Callable[[Rows], None],
    cause: Cause | None = None,
    new_classes: Sequence[str] = (),
) -> int:
    """Apply `edit` to the rows of these ids in one commit. Returns how many rows changed.

    cause: what the history says of it; None for what is no change of the dataset's content.
    new_classes: come after the dataset's, and may be given to these rows.
    """
    ids = np.unique(as_ids(ids)) if _repeats(ids) else as_ids(ids)
    if not len(ids):
        return 0
    with frame.store.writing():
        rows = Rows(frame, ids)
        edit(rows)
        count = int(rows.changed.sum())
        if count:
            if cause:
                history_log.record(frame, cause, rows.differences(), tag_lists)
            else:
                history_log.settle(frame)
            with _growing_by(frame, new_classes) if new_classes else nullcontext():
                frame.store.upsert("annotations", rows.to_table(), schema.ANNOTATIONS)
    return count


def tag_lists(masks: dict[str, np.ndarray], count: int) -> pa.ListArray:
    """Tag masks (count,) as a list of sorted names a row."""
    names = sorted(masks)
    rows, codes = (
        np.nonzero(np.stack([masks[name] for name in names], axis=1))
        if names
        else (np.empty(0, np.int64), np.empty(0, np.int64))
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    values = pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32()), pa.array(names, pa.string())
    )
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), values.cast(pa.string()), type=pa.list_(pa.string())
    )


def _repeats(ids: Sequence[int] | np.ndarray) -> bool:
    return len(np.unique(np.asarray(ids))) != len(ids)
