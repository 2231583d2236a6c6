"""Samples that show the same picture.

If their labels differ, at least one label is wrong. If they lie in different splits, the test split
measures nothing. Exact duplicates have the same pixels, in any file format. Near duplicates are the
same picture recompressed, resized, brightened, mirrored or cropped a little (see `similarity.py`);
colours are ignored.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError, DamagedError, NotFoundError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING, as_ids, differing, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.target import Target, as_view
from ..export import provenance as origins
from ..export import write_table
from ..storage.schema import DUPLICATES, REMOVED
from . import similarity
from .fingerprints import make_fingerprints, read_fingerprints

TABLE = "duplicates"
MOST_NEW = 0.1  # share of the pictures; with more new ones, all are compared again
CONFLICTS, SPLITS, OTHERS = WHICH = ("conflicts", "splits", "others")
EXACT, NEAR = "exact", "near"
_COLUMNS = {
    "group": pa.int64(),
    "kind": pa.string(),
    "labels_differ": pa.bool_(),
    "splits_differ": pa.bool_(),
    "id": pa.int64(),
    "filepath": pa.string(),
    "label": pa.string(),
    "split": pa.string(),
}


@dataclass(frozen=True)
class Duplicates:
    """Groups of samples that show the same picture.

    Arrays (m,), int64, of all samples in a group, sorted by id.
    """

    ids: np.ndarray
    group: np.ndarray  # smallest id of the group
    copy_of: np.ndarray  # smallest id with the same pixels; the sample's own if it has no copy
    searched_ids: np.ndarray  # of all samples that were compared

    @property
    def searched(self) -> int:
        """How many samples were compared."""
        return len(self.searched_ids)

    @cached_property
    def exact(self) -> np.ndarray:
        """Mask, bool (m,), of the samples that have the same pixels as another."""
        _, index, counts = np.unique(self.copy_of, return_inverse=True, return_counts=True)
        return counts[index] > 1

    def touching(self, ids: np.ndarray) -> Duplicates:
        """Return only the groups with any of these samples, int64 (n,)."""
        kept = np.isin(self.group, self.group[np.isin(self.ids, ids)])
        return replace(self, ids=self.ids[kept], group=self.group[kept], copy_of=self.copy_of[kept])

    def group_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the group of each sample, int64 (n,): equal for duplicates, the sample's own id if
        it has none. So cross-validation can keep groups together."""
        ids = as_ids(ids)
        at, known = find(self.ids, ids)
        groups = ids.copy()
        groups[known] = self.group[at[known]]
        return groups

    def held_out_together(self, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return a number, int64 (n,), equal for samples that one predicts without the other.

        labels: int (n,), MISSING for samples that nothing is learned from. Copies that have the
        same label may have been labelled as one image, and would vouch for a wrong label that they
        share. If a group has several labels, its samples were labelled one by one, and all are
        evidence. A group of more than half of its class is left in, too: it shows what the class
        looks like, as in pictures of one object, and without it the class could not be predicted.
        """
        ids = as_ids(ids)
        groups = self.group_of(ids)
        learned = labels != MISSING
        if not learned.any():
            return groups
        numbers, index = np.unique(groups, return_inverse=True)
        label, index_learned = labels[learned], index[learned]
        of_class = np.bincount(label)
        size = np.bincount(index_learned, minlength=len(numbers))
        least = np.full(len(numbers), label.max())
        np.minimum.at(least, index_learned, label)
        most = np.zeros_like(least)
        np.maximum.at(most, index_learned, label)
        together = (least == most) & (2 * size <= of_class[most])
        return np.where(together[index], groups, ids)

    def copies_of(self, sample: int) -> np.ndarray:
        """Return the ids of the other samples with the same pixels as this one, int64 (m,), sorted;
        empty if there are none."""
        at, known = find(self.ids, as_ids(sample))
        if not known[0]:
            return np.empty(0, np.int64)
        same = self.ids[self.copy_of == self.copy_of[at[0]]]
        return same[same != sample]

    def exact_copies(self, ids: np.ndarray) -> np.ndarray:
        """Return a number that is equal for samples with the same pixels, int64 (n,); MISSING for
        samples without an exact copy."""
        ids = as_ids(ids)
        at, known = find(self.ids, ids)
        numbers = np.full(len(ids), MISSING, np.int64)
        known[known] = self.exact[at[known]]
        numbers[known] = self.copy_of[at[known]]
        return numbers


def find_duplicates(dataset: Target, task: Task = QUIET) -> Duplicates:
    """Search for duplicates among all samples, store the groups, and return them.

    dataset: or its name, or a view: then the groups with any of its samples are returned.

    Each image is read only once: its fingerprint is stored. Images that cannot be read are left
    out. Up to `similarity.EXACT` samples, all pairs are compared. Beyond, one near duplicate in a
    hundred may be missed, but no exact one. Raises DamagedError if no image can be read, and
    StoppedError after a stop; the groups stored before stay.
    """
    view = as_view(dataset)
    found = _search(view.frame, task)
    return found.touching(view.ids) if view.steps else found


def _search(frame: Frame, task: Task, known: Duplicates | None = None) -> Duplicates:
    """Search for duplicates and store the groups. known: groups that were found before; with them,
    only pictures that were not searched yet are compared, if these are few."""
    make_fingerprints(frame, task)
    ids, pixels, thumbnails = read_fingerprints(frame)
    if not len(ids):
        raise DamagedError(
            f"none of the {len(frame.ids):,} images of {frame.name!r} can be read: restore their "
            "files."
        )
    _, first, index = np.unique(pixels, return_index=True, return_inverse=True)
    distinct = np.sort(first)  # one sample of each picture, so that copies are compared only once
    copy_of = first[index]
    picture = np.searchsorted(distinct, copy_of)
    before: dict[str, np.ndarray] = {}
    if known is not None:
        searched = np.isin(ids, known.searched_ids)
        new = np.setdiff1d(np.arange(len(distinct)), picture[searched])
        if len(new) <= min(MOST_NEW * len(distinct), similarity.MOST_NEW):
            head, there = find(ids, known.group_of(ids))
            pairs = np.stack([picture[there], picture[head[there]]], axis=1)
            before = {"known": pairs, "new": new}
    count = len(before["new"]) if before else similarity.comparisons(len(distinct))
    stage = task.stage("comparing images", count)
    head = similarity.group(thumbnails[distinct], stage.advance, **before)
    group = distinct[head[picture]]
    rows = pa.table([ids, ids[group], ids[copy_of]], schema=DUPLICATES)
    with frame.transaction():
        frame.overwrite(TABLE, rows, DUPLICATES)
    return _load(frame)


def ensure_duplicates(dataset: Dataset, task: Task = QUIET) -> Duplicates:
    """Return the stored groups; if samples are missing in them, because they were added later or
    could not be read, search for duplicates of these. See `find_duplicates`."""
    found = duplicates(dataset)
    if found is None or found.searched < len(dataset):
        found = _search(dataset.view().frame, task, found)
    return found


def duplicates(dataset: Dataset) -> Duplicates | None:
    """Return the groups that `find_duplicates` stored; None if it has not run yet."""
    frame = dataset.view().frame
    return frame.derived(
        TABLE, [TABLE, "samples"], lambda: _load(frame) if frame.exists(TABLE) else None
    )


def has_copy(dataset: Dataset, ids: np.ndarray) -> np.ndarray:
    """Mask, bool (n,), of the samples with a known duplicate. Removing such a sample does not mean
    that its label is wrong."""
    known = duplicates(dataset)
    return np.zeros(len(ids), bool) if known is None else find(known.ids, ids)[1]


def _load(frame: Frame) -> Duplicates:
    group, copy_of = (frame.number(TABLE, name, MISSING) for name in ("group", "copy_of"))
    searched = np.flatnonzero(group != MISSING)
    _, of, counts = np.unique(group[searched], return_inverse=True, return_counts=True)
    members = searched[counts[of] > 1]
    return Duplicates(frame.ids[members], group[members], copy_of[members], frame.ids[searched])


# --- problems of duplicates, with the present labels and splits ---


@dataclass(frozen=True)
class Groups:
    """Groups of duplicates in order, exact copies first, without removed samples.

    Group i has the samples `ids[starts[i] : starts[i + 1]]`.
    """

    dataset: Dataset
    exact: np.ndarray  # bool (g,): the listed problem is between exact copies
    ids: np.ndarray  # int64 (m,), sorted within a group
    starts: np.ndarray  # int64 (g + 1,)
    group: np.ndarray  # int64 (g,), number of the group: its smallest id, removed samples included

    def __len__(self) -> int:
        return len(self.exact)

    def table(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return one row per group, from `start` to before `stop`, with the columns group, kind
        ("exact" or "near"), and lists with one entry per sample: ids, labels, filepaths, splits."""
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
    """Return groups of duplicates: CONFLICTS if their labels differ, SPLITS if they lie in
    different splits, OTHERS without either.

    Raises LabelAuditError for another `which`, and if duplicates were not searched for.
    """
    if which not in WHICH:
        raise BadInputError(f"{which!r} is not a list of duplicates: use {', '.join(WHICH)}.")
    found = duplicates(dataset)
    if found is None:
        raise NotFoundError(
            f"duplicates in {dataset.name!r} have not been searched for yet: do this first "
            f"(labelaudit.find_duplicates({dataset.name!r}); command line: labelaudit duplicates "
            f"{dataset.name})."
        )
    frame = dataset.view().frame
    with frame.steady():
        at = frame.positions(found.ids)
        present = ~frame.tagged(REMOVED)[at]
        at, group, copy_of = at[present], found.group[present], found.copy_of[present]
        label, split = frame.label[at], frame.split()[0][at]
        ids = frame.ids[at]
    in_conflict, across = differing(group, label), differing(group, split)
    if which == OTHERS:
        chosen = _repeated(group) & ~in_conflict & ~across
        exact = _repeated(copy_of)
    else:
        chosen = in_conflict if which == CONFLICTS else across
        exact = differing(copy_of, label if which == CONFLICTS else split)
    return _grouped(dataset, ids[chosen], group[chosen], exact[chosen])


def conflicts(dataset: Dataset) -> pd.DataFrame:
    """Return the groups with different given labels: at least one of these is wrong. Exact copies
    come first, because there it is certain. Columns as in `Groups.table`; see `list_groups`."""
    return list_groups(dataset, CONFLICTS).table()


def write_duplicates(dataset: Dataset, target: str | os.PathLike | io.IOBase) -> int:
    """Write all groups as CSV, one row per sample, conflicts first. Returns the number of rows.

    Columns: group, kind, labels_differ, splits_differ, id, filepath, label, split.
    """
    lists = {which: list_groups(dataset, which) for which in WHICH}
    written, parts = np.empty(0, np.int64), []
    for found in lists.values():
        table = found.table()
        table = table[~np.isin(found.group, written)]
        written = np.concatenate([written, found.group])
        table["labels_differ"] = np.isin(table["group"], lists[CONFLICTS].group)
        table["splits_differ"] = np.isin(table["group"], lists[SPLITS].group)
        parts.append(table.explode(["ids", "labels", "filepaths", "splits"]))
    rows = pd.concat(parts, ignore_index=True).rename(
        columns={"ids": "id", "filepaths": "filepath", "labels": "label", "splits": "split"}
    )
    columns = {
        name: pa.array(rows[name], kind, from_pandas=True) for name, kind in _COLUMNS.items()
    }
    return origins.write_with_provenance(
        target,
        origins.provenance(dataset.view(), origins.DUPLICATES),
        lambda sink: write_table(pa.table(columns), sink),
    )


def _grouped(dataset: Dataset, ids: np.ndarray, group: np.ndarray, exact: np.ndarray) -> Groups:
    """Group rows, one per sample, and sort the groups."""
    numbers, index = np.unique(group, return_inverse=True)
    exact = np.bincount(index[exact], minlength=len(numbers)) > 0
    rank = np.empty(len(numbers), np.int64)
    order = np.lexsort((numbers, ~exact))
    rank[order] = np.arange(len(numbers))
    rank = rank[index]  # of each sample's group
    starts = np.concatenate([[0], np.cumsum(np.bincount(rank, minlength=len(numbers)))])
    return Groups(dataset, exact[order], ids[np.lexsort((ids, rank))], starts, numbers[order])


def _repeated(key: np.ndarray) -> np.ndarray:
    """Mask, bool (n,), of the rows whose key occurs more than once."""
    _, index, counts = np.unique(key, return_inverse=True, return_counts=True)
    return counts[index] > 1


def _described(frame: Frame, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return ids, labels, filepaths and splits of these samples, by name."""
    with frame.steady():
        at = frame.positions(ids)
        codes, names = frame.split()
        return {
            "ids": ids,
            "labels": np.array([*frame.classes, None], object)[frame.label[at]],
            "filepaths": frame.take("samples", at, ["filepath"])["filepath"].to_numpy(),
            "splits": np.array([*names, None], object)[codes[at]],
        }
