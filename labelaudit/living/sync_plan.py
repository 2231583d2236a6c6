"""What a sync would change."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError
from ..core.progress import QUIET, Task
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history import sync_words
from ..dataset.target import Target, as_dataset
from ..sources.file_states import FileStates
from ..sources.source import LABEL_COLUMNS
from ..storage.allowed_roots import is_inside
from ..storage.schema import MISTAKE
from .compare import Matches, match_images
from .label_changes import LabelChanges, compare_labels
from .new_images import read_new
from .reading import SourceNow, read_now
from .source_classes import SourceClasses
from .stored_files import TABLE, StoredFiles, check_source_known, read_stored
from .sync_classes import classes_after
from .write_back.moves import check_finished

TABLES = ("annotations", "samples", TABLE, "verdicts", "meta")  # that a plan depends on


@dataclass(frozen=True)
class SyncPlan:
    """What the source has that the dataset does not know yet. `apply_sync` takes it over.

    Numbers are in `counts`, names of the images in the lists of (id, path …).
    """

    dataset: str
    counts: dict[str, int]
    added: list[str]  # paths of new images that can be read, of replaced ones too
    gone: list[tuple[int, str]]
    replaced: list[tuple[int, str]]  # another image has the same path: it becomes a new sample
    moved: list[tuple[int, str, str]]  # id, earlier path, path
    returned: list[tuple[int, str]]  # were gone
    relabelled: list[tuple[int, str, str | None, str | None]]  # id, path, before, after
    conflicts: list[tuple[int, str, str | None, str | None, str | None, str]]
    renamed_classes: dict[str, str]
    new_classes: list[str]
    empty_classes: list[str]  # of the dataset, without an image in the source
    skipped: dict  # see `Skipped.report`
    stored: StoredFiles = field(repr=False)
    now: SourceNow = field(repr=False)
    matches: Matches = field(repr=False)
    labels: LabelChanges = field(repr=False)
    after: np.ndarray = field(repr=False)  # int (rows of the source,), class index in the source
    classes: list[str] = field(repr=False)  # of the dataset after the sync
    source_names: dict[str, int] = field(repr=False)  # see `SourceClasses.there`
    target: np.ndarray = field(repr=False)  # int (classes,), see `SourceClasses.target`
    batches: list[pa.RecordBatch] = field(repr=False)  # of the new images
    files: FileStates = field(repr=False)  # of these
    resplit: np.ndarray = field(repr=False)  # bool (pairs,), of images in another split
    stamps: tuple[Hashable, ...] = field(repr=False)

    def __len__(self) -> int:
        """Number of changes that the dataset would notice, conflicts included."""
        return sum(self.counts.values()) + len(self.renamed_classes) + len(self.new_classes)

    @property
    def words(self) -> list[str]:
        """What would be changed, in words; empty if nothing."""
        return sync_words(self.counts, self.renamed_classes, self.new_classes)

    @property
    def digest(self) -> str:
        """A hash that differs for every other plan of this dataset."""
        return sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict:
        """Return plain JSON values."""
        names = ("added", "gone", "replaced", "moved", "returned", "relabelled", "conflicts")
        lists = {name: [_plain(row) for row in getattr(self, name)] for name in names}
        more = ("renamed_classes", "new_classes", "empty_classes", "skipped")
        return {
            "dataset": self.dataset,
            "counts": self.counts,
            **lists,
            **{name: getattr(self, name) for name in more},
        }


def _plain(row):
    return row if isinstance(row, str) else list(row)


def stamps_of(frame: Frame) -> tuple[Hashable, ...]:
    """Return a value that differs whenever a plan would be another one."""
    return tuple(frame.stamp(table) for table in TABLES)


def plan_sync(
    dataset: Target,
    *,
    source: str | None = None,
    every_file: bool = False,
    within: Sequence[str] | None = None,
    task: Task = QUIET,
) -> SyncPlan:
    """Read the source of a dataset again, and return what changed in it. Nothing is changed here.

    The source is read with the options that it was loaded with. A file whose size and time of
    change are the same is taken as unchanged; others are compared by content (SHA-256). New images
    are opened once, as by `load_dataset`. source: where it is now, if it was moved. every_file:
    compare the content of all files. within: as in `load_dataset`.

    Raises BadInputError for a dataset that has no source that can be read again, or has planted
    mistakes, or whose list has other labels in another column; NotFoundError if the source is gone;
    the errors of `load_dataset` if it cannot be read; and StoppedError if the task is stopped.
    """
    dataset = as_dataset(dataset, "plan_sync")
    check_syncable(dataset)
    frame = dataset.view().frame
    with frame.steady():
        stamps, stored = stamps_of(frame), read_stored(frame)
        now = read_now(frame, source, within, task)
        stored = stored.moved(frame.meta["origin"], now.origin)
        matches = match_images(stored, now, every_file, task)
        check_hidden_images(stored, matches, now.source.allowed_roots)
        known = SourceClasses.read(frame)
        classes = classes_after(known, stored, now, matches)
        target = np.arange(len(classes.names))
        target[: len(known.target)] = known.target
        mapped = replace(known, target=target)
        labels = compare_labels(
            frame,
            stored.ids[matches.stored],
            mapped.labels_here(stored.label[matches.stored]),
            mapped.labels_here(classes.after[matches.now]),
        )
        check_label_column(frame, now, len(labels.ids) + len(classes.renamed))
    new = read_new(now, matches.added, task)
    return _plan(dataset, stored, now, matches, classes, target, labels, new, stamps)


def check_syncable(dataset: Dataset) -> None:
    """Raise BadInputError for a dataset whose source cannot be read again now."""
    check_finished(dataset)
    frame = dataset.view().frame
    check_source_known(frame)
    if frame.tagged(MISTAKE).any():
        raise BadInputError(
            f"dataset {dataset.name!r} has planted mistakes, which a sync would take for "
            "corrections: restore the labels first, on the page Noise or with `labelaudit noise "
            f"{dataset.name} --restore`."
        )


def check_label_column(frame: Frame, now: SourceNow, changes: int) -> None:
    """Raise BadInputError if the labels of a list come from another column than before, and are
    others. A column that only has another name now is taken.

    changes: labels and classes that differ.
    """
    after = now.source.label_columns
    before = frame.meta["origin"].get(LABEL_COLUMNS) or after
    unknown = [name for name in after if name not in before]
    if unknown and changes:
        raise BadInputError(
            f"{now.source.description} would be read with the labels in column {unknown[0]!r}, "
            f"which are not those of column {before[0]!r}, where they were before: name the right "
            f"column {before[0]!r}, or load the list as another dataset."
        )


def check_hidden_images(
    stored: StoredFiles, matches: Matches, allowed: Sequence[str] | None
) -> None:
    """Raise BadInputError if an image seems to be gone only because it may not be read here.

    allowed: folders that files may be in; None for anywhere.
    """
    paths = stored.paths.take(pa.array(matches.gone)).to_pylist() if allowed is not None else []
    for path in paths:
        if not is_inside(path, allowed) and os.path.exists(path):
            raise BadInputError(
                f"{path} lies outside of the folders that may be used here "
                f"({', '.join(allowed) or 'none'}), so that images would be taken as gone: read "
                "the source again with `labelaudit sync` on the machine itself."
            )


def _plan(dataset, stored, now, matches, classes, target, labels, new, stamps) -> SyncPlan:
    known = dataset.classes
    names = [*classes.names, None]
    ids, paths = stored.ids, stored.paths
    place = matches.now[np.searchsorted(ids[matches.stored], labels.ids)]  # of each in the source

    def row(i: int) -> tuple:
        sample, path = int(labels.ids[i]), now.paths[place[i]].as_py()
        return sample, path, names[labels.before[i]], names[labels.after[i]]

    pairs = np.flatnonzero(matches.moved)
    added = [path for batch in new.batches for path in batch["filepath"].to_pylist()]
    new_paths = pa.array(added, pa.string())  # a file that cannot be read replaces nothing
    is_read = pc.is_in(now.paths.take(pa.array(matches.replaced_now)), value_set=new_paths)
    replaced = matches.replaced_stored[is_read.to_numpy(zero_copy_only=False)]
    gone = np.setdiff1d(matches.gone, replaced)
    split_before, split_after = stored.splits.take(matches.stored), now.splits.take(matches.now)
    resplit = pc.not_equal(split_before.fill_null(""), split_after.fill_null(""))
    resplit = resplit.to_numpy(zero_copy_only=False)
    plan = SyncPlan(
        dataset=dataset.name,
        counts={
            "added": len(added) - len(replaced),
            "gone": len(gone),
            "replaced": len(replaced),
            "moved": len(pairs),
            "returned": int(matches.returned.sum()),
            "relabelled": int(labels.takes.sum()),
            "conflicts": int(labels.conflict.sum()),
            "in another split": int(resplit.sum()),
        },
        added=added,
        gone=[(int(ids[i]), paths[i].as_py()) for i in gone.tolist()],
        replaced=[(int(ids[i]), paths[i].as_py()) for i in replaced.tolist()],
        moved=[
            (
                int(ids[matches.stored[i]]),
                paths[matches.stored[i]].as_py(),
                now.paths[matches.now[i]].as_py(),
            )
            for i in pairs.tolist()
        ],
        returned=[
            (int(ids[i]), paths[i].as_py()) for i in matches.stored[matches.returned].tolist()
        ],
        relabelled=[row(i) for i in np.flatnonzero(labels.takes).tolist()],
        conflicts=[
            (*row(i), names[labels.here[i]], str(labels.why[i]))
            for i in np.flatnonzero(labels.conflict).tolist()
        ],
        renamed_classes=classes.renamed,
        new_classes=classes.names[len(known) :],
        empty_classes=classes.empty,
        skipped=now.source.skipped.report,
        stored=stored,
        now=now,
        matches=matches,
        labels=labels,
        after=classes.after,
        classes=classes.names,
        source_names=classes.there,
        target=target,
        batches=new.batches,
        files=new.files,
        resplit=resplit,
        stamps=stamps,
    )
    return plan
