"""Samples that show the same picture, and what follows: of two labels one is wrong, and a test
split that has pictures of the training split tests nothing.

Exact duplicates have the same pixels, in whatever format. Near duplicates are the same picture
recompressed, resized, brightened, mirrored or cut a little (`likeness.py`); colours do not count.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING, as_ids, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..export import write_table
from ..storage.schema import DUPLICATES, REMOVED
from . import similarity
from .fingerprints import make_fingerprints, read_fingerprints

TABLE = "duplicates"
CONFLICTS, SPLITS, OTHERS = WHICH = ("conflicts", "splits", "others")
EXACT, NEAR = "exact", "near"
_COLUMNS = {
    "group": pa.int64(), "kind": pa.string(), "labels_differ": pa.bool_(),
    "splits_differ": pa.bool_(), "id": pa.int64(), "filepath": pa.string(), "label": pa.string(),
    "split": pa.string(),
}  # fmt: skip


@dataclass(frozen=True)
class Duplicates:
    """Groups of samples that show the same picture. Arrays (m,), int64, of all that are in one,
    sorted by id."""

    ids: np.ndarray
    group: np.ndarray  # smallest id of the group
    copy_of: np.ndarray  # smallest id of those with the same pixels: its own where it has no copy
    searched: int  # samples that were compared

    @cached_property
    def exact(self) -> np.ndarray:
        """Mask, bool (m,), of the samples that share all pixels with another."""
        _, of, counts = np.unique(self.copy_of, return_inverse=True, return_counts=True)
        return counts[of] > 1

    def group_of(self, ids: np.ndarray) -> np.ndarray:
        """The group of each of these samples, int64 (n,): equal for duplicates, and its own id for
        a sample that has none. So folds can be made of whole groups."""
        ids = as_ids(ids)
        at, known = find(self.ids, ids)
        groups = ids.copy()
        groups[known] = self.group[at[known]]
        return groups


def find_duplicates(dataset: Dataset, task: Task = QUIET) -> Duplicates:
    """Look for duplicates among all samples; store the groups, and return them.

    Images are read once: the fingerprints of those that were looked at before are kept. Images that
    cannot be read are left out. Up to `likeness.EXACT` samples are compared each with each, of more
    a near duplicate in a hundred may be missed, but no exact one. A stop keeps the groups that were
    stored before: StoppedError.
    """
    frame = dataset.view().frame
    make_fingerprints(frame, task)
    ids, pixels, thumbnails = read_fingerprints(frame)
    _, first, of = np.unique(pixels, return_index=True, return_inverse=True)
    own = np.sort(first)  # one of each picture, so that a thousand copies are compared once
    meter = task.stage("comparing images", similarity.steps(len(own)))
    head = similarity.group(thumbnails[own], meter.advance)
    copy_of = first[of]
    group = own[head[np.searchsorted(own, copy_of)]]
    rows = pa.table([ids, ids[group], ids[copy_of]], schema=DUPLICATES)
    with frame.writing():
        frame.overwrite(TABLE, rows, DUPLICATES)
    return duplicates(dataset)


def ensure_duplicates(dataset: Dataset, task: Task = QUIET) -> Duplicates:
    """The stored groups, looked for (see `find_duplicates`) only where some sample is not among
    them: added since, or not readable then."""
    found = duplicates(dataset)
    if found is None or found.searched < len(dataset):
        found = find_duplicates(dataset, task)
    return found


def duplicates(dataset: Dataset) -> Duplicates | None:
    """The groups that `find_duplicates` stored; None where it has not looked yet."""
    frame = dataset.view().frame
    with frame.steady():
        stamp = frame.stamp(TABLE)
        if stamp is None:
            return None
        return frame.cached(TABLE, (stamp, len(frame.ids)), lambda: _load(frame))


def has_copy(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """Mask, bool (n,), of the samples that are known to have a duplicate: to remove one of them
    does not say that its label is wrong."""
    known = duplicates(dataset)
    return np.zeros(len(ids), bool) if known is None else find(known.ids, ids)[1]


def _load(frame: Frame) -> Duplicates:
    group, copy_of = (frame.number(TABLE, name, MISSING) for name in ("group", "copy_of"))
    searched = np.flatnonzero(group != MISSING)
    _, of, counts = np.unique(group[searched], return_inverse=True, return_counts=True)
    members = searched[counts[of] > 1]
    return Duplicates(frame.ids[members], group[members], copy_of[members], len(searched))


# --- what is wrong with them, by the labels and splits as they are now ---


@dataclass(frozen=True)
class Groups:
    """Some groups of duplicates, in order: those of exact copies first. Removed samples are not in
    them. Group i has the samples `ids[starts[i] : starts[i + 1]]`."""

    dataset: Dataset
    exact: np.ndarray  # bool (g,): what they are listed for is so between exact copies
    ids: np.ndarray  # int64 (m,), sorted within a group
    starts: np.ndarray  # int64 (g + 1,)
    group: np.ndarray  # int64 (g,), its number, the smallest id that it ever had

    def __len__(self) -> int:
        return len(self.exact)

    def table(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """A row a group, of those from `start` to before `stop`: group, kind ("exact" or "near"),
        and lists, one entry a sample: ids, labels, filepaths, splits."""
        rows = range(len(self))[start:stop]
        begin, end = self.starts[[rows.start, rows.stop]] if len(rows) else (0, 0)
        samples = _described(self.dataset.view().frame, self.ids[begin:end])
        cuts = self.starts[rows.start + 1 : rows.stop] - begin
        lists = {
            name: [part.tolist() for part in np.split(values, cuts)] if len(rows) else []
            for name, values in samples.items()
        }
        exact = self.exact[rows.start : rows.stop]
        return pd.DataFrame(
            {"group": self.group[rows.start : rows.stop], "kind": np.where(exact, EXACT, NEAR)}
            | lists
        )


def list_groups(dataset: Dataset, which: str) -> Groups:
    """Groups of duplicates: CONFLICTS whose labels differ, SPLITS that lie in different splits,
    OTHERS with neither.

    Raises LabelAuditError where duplicates were not looked for.
    """
    if which not in WHICH:
        raise LabelAuditError(f"{which!r} is no list of duplicates: take {', '.join(WHICH)}.")
    found = duplicates(dataset)
    if found is None:
        raise LabelAuditError(
            f"duplicates in {dataset.name!r} have not been looked for yet: do it first "
            f"(labelaudit duplicates {dataset.name})."
        )
    frame = dataset.view().frame
    with frame.steady():
        at = frame.positions(found.ids)
        stays = ~frame.tagged(REMOVED)[at]
        at, group, copy_of = at[stays], found.group[stays], found.copy_of[stays]
        label, split = frame.label[at], frame.split()[0][at]
        ids = frame.ids[at]
    in_conflict, across = _differ(group, label), _differ(group, split)
    if which == OTHERS:
        chosen = _repeated(group) & ~in_conflict & ~across
        exact = _repeated(copy_of)
    else:
        chosen = in_conflict if which == CONFLICTS else across
        exact = _differ(copy_of, label if which == CONFLICTS else split)
    return _grouped(dataset, ids[chosen], group[chosen], exact[chosen])


def conflicts(dataset: Dataset) -> pd.DataFrame:
    """Groups whose samples have different given labels, so that one at least is wrong: exact copies
    first, of which that is certain. Columns as in `Groups.table`; see `list_groups`."""
    return list_groups(dataset, CONFLICTS).table()


def across_splits(dataset: Dataset) -> pd.DataFrame:
    """Groups that lie in different splits: what is tested was learned. Columns as in
    `Groups.table`; see `list_groups`."""
    return list_groups(dataset, SPLITS).table()


def write_duplicates(dataset: Dataset, target: str | os.PathLike | io.IOBase) -> int:
    """Write all groups as CSV, a row a sample, those that conflict first. Returns the rows.

    Columns: group, kind, labels_differ, splits_differ, id, filepath, label, split.
    """
    lists = {which: list_groups(dataset, which) for which in WHICH}
    seen, parts = np.empty(0, np.int64), []
    for found in lists.values():
        table = found.table()
        table = table[~np.isin(found.group, seen)]
        seen = np.concatenate([seen, found.group])
        table["labels_differ"] = np.isin(table["group"], lists[CONFLICTS].group)
        table["splits_differ"] = np.isin(table["group"], lists[SPLITS].group)
        parts.append(table.explode(["ids", "labels", "filepaths", "splits"]))
    rows = pd.concat(parts, ignore_index=True).rename(
        columns={"ids": "id", "filepaths": "filepath", "labels": "label", "splits": "split"}
    )
    made = {name: pa.array(rows[name], kind, from_pandas=True) for name, kind in _COLUMNS.items()}
    return write_table(pa.table(made), target)


def _grouped(dataset: Dataset, ids: np.ndarray, group: np.ndarray, exact: np.ndarray) -> Groups:
    """Rows, one a sample, as groups in order."""
    numbers, of = np.unique(group, return_inverse=True)
    exact = np.bincount(of[exact], minlength=len(numbers)) > 0
    rank = np.empty(len(numbers), np.int64)
    order = np.lexsort((numbers, ~exact))
    rank[order] = np.arange(len(numbers))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rank[of], minlength=len(numbers)))])
    return Groups(dataset, exact[order], ids[np.lexsort((ids, rank[of]))], starts, numbers[order])


def _differ(key: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Mask, bool (n,), of the rows whose key goes with two codes or more; MISSING is none."""
    keys, of = np.unique(key, return_inverse=True)
    known = code != MISSING
    low, high = np.full(len(keys), np.iinfo(np.int32).max), np.full(len(keys), MISSING)
    np.minimum.at(low, of[known], code[known])
    np.maximum.at(high, of[known], code[known])
    return (low < high)[of]


def _repeated(key: np.ndarray) -> np.ndarray:
    _, of, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[of] > 1


def _described(frame: Frame, ids: np.ndarray) -> dict[str, np.ndarray]:
    with frame.steady():
        at = frame.positions(ids)
        codes, names = frame.split()
        return {
            "ids": ids,
            "labels": np.array([*frame.classes, None], object)[frame.label[at]],
            "filepaths": frame.take("samples", at, ["filepath"])["filepath"].to_numpy(),
            "splits": np.array([*names, None], object)[codes[at]],
        }
