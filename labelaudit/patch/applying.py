"""From a patch to labels: which samples it means here, what would change, and the change."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import BadInputError
from ..core.progress import QUIET, Task
from ..dataset import edits, history_log
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Cause
from ..features.fingerprints import make_fingerprints, pixel_hashes
from ..storage.schema import REMOVED
from .lines import REMOVE, Change, Patch, read_patch
from .places import as_numbers, find_files

PATH, PIXELS, ID = "path", "pixels", "id"  # how a sample was found
TRUSTED = (PATH, ID)  # what may be told to be enough
NOT_A_CLASS = -4  # of a label before that the dataset does not know
NOWHERE = -1  # id of a sample that was not found
WHO_LENGTH = 200  # characters of the names in the history

NOT_HERE = "not found"
OTHER_IMAGE = "another image lies there"
SEVERAL = "several samples fit"
TWICE = "two lines mean it"
OTHER_LABEL = "labelled otherwise"
GONE = "removed here"


@dataclass(frozen=True)
class Unfit:
    """A change that is not done."""

    change: Change
    why: str
    sample: int | None = None  # its id here
    label: str | None = None  # … and its class

    def to_dict(self) -> dict:
        """As plain values: sample, id, before, wanted, here, by, why."""
        wanted = self.change
        return {"sample": wanted.name, "id": self.sample, "before": wanted.before,
                "wanted": wanted.words, "here": self.label, "by": ", ".join(wanted.by),
                "why": self.why}  # fmt: skip


@dataclass(frozen=True)
class PatchPlan:
    """What a patch would do to a dataset. Arrays (n,); ids are sorted, int64."""

    relabel: np.ndarray
    before: np.ndarray  # int32, class indices of `relabel` now
    after: np.ndarray  # … and as they would be, when the new classes stand after the others
    remove: np.ndarray
    already: int  # samples that are as the patch wants them
    conflicts: list[Unfit]  # neither as before the change nor as after it: nothing is done
    missing: list[Unfit]  # not found for certain: nothing is done
    found: dict[str, int]  # how many samples were found by PATH, PIXELS, ID
    new_classes: list[str]  # that labels would need, and the dataset does not have
    unread: int  # images that were not looked at, and would tell more
    by: list[str]  # who decided what would be done

    def __len__(self) -> int:
        """How many samples would change."""
        return len(self.relabel) + len(self.remove)

    def equals(self, other: PatchPlan) -> bool:
        """Whether the same would be done to the same samples."""
        names = ("relabel", "before", "after", "remove")
        same = all(np.array_equal(getattr(self, n), getattr(other, n)) for n in names)
        return same and self.new_classes == other.new_classes


def plan_patch(
    dataset: Dataset,
    patch: Patch | str | os.PathLike,
    trust: Sequence[str] = (),
    read: int | None = None,
    task: Task = QUIET,
) -> PatchPlan:
    """What a patch would do here. Labels are not changed.

    A sample is found by its path below the folder that all images lie in, if the image there has
    the same pixels; else by its pixels, anywhere. trust: "path", where images were resized or
    compressed anew, so that their path must be enough; "id", where neither is found. read: how many
    images may be opened for it at most; None: all that are needed, once, for they are remembered.
    A stop raises StoppedError; a patch that is malformed LabelAuditError.
    """
    patch = patch if isinstance(patch, Patch) else read_patch(patch)
    for word in trust:
        if word not in TRUSTED:
            raise BadInputError(f"{word!r} cannot be trusted: it is {' or '.join(TRUSTED)}.")
    frame = dataset.view().frame
    for _ in range(2):  # where paths turn out to be others', images are looked for anywhere
        with frame.steady():
            unread = _Search(frame, patch.changes, trust).unread
        if read is not None and len(unread) > read:
            break
        make_fingerprints(frame, task, unread)  # outside: a steady reading is as it was
        unread = unread[:0]  # what has no fingerprint now cannot be read
    with frame.steady():
        return _plan(frame, patch.changes, trust, len(unread))


def apply_patch(
    dataset: Dataset,
    patch: Patch | str | os.PathLike,
    *,
    trust: Sequence[str] = (),
    add_classes: bool = False,
    who: str | None = None,
    shown: PatchPlan | None = None,
    task: Task = QUIET,
) -> PatchPlan:
    """Do what `plan_patch` lists, in one commit: relabel, and tag `removed`. Returns what was done.

    Applying again changes nothing. `labelaudit.return_to` takes it back. add_classes: add to the
    dataset the classes that it lacks; else such a patch is refused. who: goes into the history; by
    default the names in the patch. shown: what somebody agreed to; where it is not that any more,
    nothing is done: LabelAuditError. A stop while images are read raises StoppedError; what it
    does then is done whole.
    """
    patch = patch if isinstance(patch, Patch) else read_patch(patch)
    plan = shown or plan_patch(dataset, patch, trust, task=task)
    frame = dataset.view().frame
    with frame.writing():
        wanted = _plan(frame, patch.changes, trust, 0)
        if not wanted.equals(plan):
            raise BadInputError(
                "labels changed since you looked at what the patch would do: look again, then "
                "apply it."
            )
        if wanted.new_classes and not add_classes:
            raise BadInputError(
                f"{patch.name} gives labels of {len(wanted.new_classes)} classes that dataset "
                f"{dataset.name!r} does not have ({_some(wanted.new_classes)}): add them with "
                "--add-classes, or take these lines out."
            )
        _change(frame, wanted, patch.name, who)
    return wanted


def _change(frame: Frame, wanted: PatchPlan, file: str, who: str | None) -> None:
    ids = np.union1d(wanted.relabel, wanted.remove)
    labels = frame.label[frame.positions(ids)].copy()
    labels[np.searchsorted(ids, wanted.relabel)] = wanted.after
    removed = np.isin(ids, wanted.remove)

    def edit(rows: edits.EditedRows) -> None:
        rows.set_label(labels)
        rows.set_tag(REMOVED, rows.tags.get(REMOVED, np.zeros(len(ids), bool)) | removed)

    info = {"relabelled": len(wanted.relabel), "removed": len(wanted.remove), "file": file,
            "by": wanted.by, "applied_by": history_log.user()}  # fmt: skip
    names = ", ".join(wanted.by)
    names = names if len(names) <= WHO_LENGTH else names[: WHO_LENGTH - 1] + "…"
    cause = Cause(history_log.PATCH, who or names, info)
    edits.change(frame, ids, edit, cause, wanted.new_classes)


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "")


# --- which samples are meant ---


class _Search:
    """The sample that each change means. `sample` int64 (n,), NOWHERE where none is; `how` and
    `why` say by what it was found, or why not. `unread`: ids of images that may tell more."""

    def __init__(self, frame: Frame, changes: list[Change], trust: Sequence[str]) -> None:
        n = len(changes)
        self.sample = np.full(n, NOWHERE, np.int64)
        self.how = np.full(n, "", object)
        self.why = np.full(n, NOT_HERE, object)
        self.hashed, self.pixels = pixel_hashes(frame)
        wanted = as_numbers([change.pixels for change in changes])
        told = np.array([change.pixels is not None for change in changes], bool)
        doubted = self._by_path(frame, changes, wanted, told & (PATH not in trust))
        self._by_pixels(wanted, told)
        if ID in trust:
            self._by_id(frame, changes)
        lost = (self.sample == NOWHERE) & told
        unhashed = frame.ids[~find(self.hashed, frame.ids)[1]]
        self.unread = unhashed if lost.any() else np.intersect1d(doubted, unhashed)

    def _by_path(
        self, frame: Frame, changes: list[Change], wanted: np.ndarray, checked: np.ndarray
    ) -> np.ndarray:
        """Returns the ids of those whose pixels ought to be compared."""
        found = find_files(frame, [c.file for c in changes if c.file is not None])
        doubted = []
        for i, change in enumerate(changes):
            ids = found.get(change.file, [])
            if len(ids) > 1:
                self.why[i] = SEVERAL
            elif ids:
                self.sample[i], self.how[i] = ids[0], PATH
                doubted += ids if checked[i] else []
        at, known = find(self.hashed, self.sample)
        differs = checked & known & (self.sample != NOWHERE)
        differs[differs] &= self.pixels[at[differs]] != wanted[differs]
        self.sample[differs], self.how[differs], self.why[differs] = NOWHERE, "", OTHER_IMAGE
        return np.array(doubted, np.int64)

    def _by_pixels(self, wanted: np.ndarray, told: np.ndarray) -> None:
        free = np.isin(self.hashed, self.sample, invert=True)  # not found by a line of its own
        hashed, pixels = self.hashed[free], self.pixels[free]
        order = np.argsort(pixels, kind="stable")
        low, high = (np.searchsorted(pixels, wanted, side, sorter=order)
                     for side in ("left", "right"))  # fmt: skip
        lost = (self.sample == NOWHERE) & told
        one = lost & (high - low == 1)
        self.sample[one], self.how[one] = hashed[order[low[one]]], PIXELS
        self.why[lost & (high - low > 1)] = SEVERAL

    def _by_id(self, frame: Frame, changes: list[Change]) -> None:
        given = np.array([NOWHERE if c.id is None else c.id for c in changes], np.int64)
        fits = (self.sample == NOWHERE) & find(frame.ids, given)[1]
        self.sample[fits], self.how[fits] = given[fits], ID


# --- what would be done to them ---


def _plan(frame: Frame, changes: list[Change], trust: Sequence[str], unread: int) -> PatchPlan:
    search = _Search(frame, changes, trust)
    classes = frame.classes
    names = [*classes, None]
    known: dict[str | None, int] = {name: code for code, name in enumerate(classes)}
    known[None] = MISSING
    strangers = sorted({c.after for c in changes if c.after is not None} - known.keys())
    codes = known | {name: len(classes) + i for i, name in enumerate(strangers)}
    before = np.array([known.get(c.before, NOT_A_CLASS) for c in changes], np.int32)
    after = np.array([codes[c.after] for c in changes], np.int32)
    out = np.array([c.change == REMOVE for c in changes], bool)
    there = search.sample != NOWHERE
    at = frame.positions(search.sample[there])
    now, gone = np.full(len(changes), MISSING, np.int32), np.zeros(len(changes), bool)
    now[there], gone[there] = frame.label[at], frame.tagged(REMOVED)[at]

    first, differ = _repeats(search.sample, changes)
    already = there & np.where(out, gone, ~gone & (now == after))
    to_do = there & ~already & ~gone & (now == before) & ~differ
    conflict = there & ((~already & ~to_do) | differ)
    why = np.where(differ, TWICE, np.where(gone, GONE, OTHER_LABEL))
    conflicts = [
        Unfit(changes[i], str(why[i]), int(search.sample[i]), names[now[i]])
        for i in conflict.nonzero()[0]
    ]
    missing = [Unfit(changes[i], str(search.why[i])) for i in (~there).nonzero()[0]]
    relabel, remove = to_do & first & ~out, to_do & first & out
    order = relabel.nonzero()[0][np.argsort(search.sample[relabel])]
    new = np.unique(after[order][after[order] >= len(classes)])  # not those of conflicts
    after[order] = np.where(
        after[order] < len(classes), after[order], len(classes) + np.searchsorted(new, after[order])
    )
    done = (relabel | remove).nonzero()[0]
    return PatchPlan(
        relabel=search.sample[order], before=before[order], after=after[order],
        remove=np.sort(search.sample[remove]), already=int((already & first & ~differ).sum()),
        conflicts=conflicts, missing=missing, found=dict(Counter(search.how[there].tolist())),
        new_classes=[strangers[code - len(classes)] for code in new.tolist()], unread=unread,
        by=sorted({name for i in done for name in changes[i].by}),
    )  # fmt: skip


def _repeats(samples: np.ndarray, changes: list[Change]) -> tuple[np.ndarray, np.ndarray]:
    """Masks: the first line that means its sample, and those whose lines want different things."""
    seen: dict[int, list[int]] = {}
    for i, sample in enumerate(samples.tolist()):
        if sample != NOWHERE:
            seen.setdefault(sample, []).append(i)
    first, differ = np.zeros(len(samples), bool), np.zeros(len(samples), bool)
    for lines in seen.values():
        first[lines[0]] = True
        differ[lines] = len({(changes[i].before, changes[i].outcome) for i in lines}) > 1
    return first, differ
