"""What a reviewer works with: the queue of suspects, verdicts with undo and redo, progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, as_ids, find
from ..dataset.dataset import Dataset
from ..dataset.verdict_log import KEEP, REDO, RELABEL, REMOVE, UNDO, UNSURE, VERDICTS
from ..features.duplicates import has_copy
from ..ranking.ranking import check_score, suspects
from ..storage.schema import REMOVED

RECENT = 50  # verdicts that the yield is taken over
CHECKS_EVERY, MOST_CHECKS = 20, 200  # one place in so many is a random check, where they are on
ALL, TODO, MINE, DISAGREED = STATUSES = ("all", "todo", "mine", "disagreed")


@dataclass(frozen=True)
class QueueFilter:
    """Which suspects come before the reviewer, in what order. None: any."""

    run: str | None = None  # the latest with predictions
    score: str | None = None  # the best that the run has
    given: str | None = None
    predicted: str | None = None
    tag: str | None = None
    split: str | None = None
    low: float | None = None  # bounds of the score
    high: float | None = None
    # "all"; "todo", "mine": without, with a verdict of this reviewer; "disagreed": reviewers do
    status: str = ALL
    everything: bool = False  # all samples that the run predicted, not only the suspects
    checks: bool = False  # samples drawn from those that are no suspects come in between

    @property
    def whole(self) -> bool:
        """Whether it lets all suspects through."""
        narrow = (self.given, self.predicted, self.tag, self.split, self.low, self.high)
        return narrow == (None,) * 6 and self.status in (ALL, TODO) and not self.everything


class Queue:
    """Sample ids in the order in which they are reviewed. It does not change under the reviewer.

    `scope`: all ids that the filter lets through whatever their verdicts, in the same order.
    `checks`: those of them that are no suspects, but drawn at random. `controls`: by id, what
    stands in the queue to measure the reviewer (`labelaudit.controls`).
    """

    def __init__(
        self, ids: np.ndarray, scope: np.ndarray, checks: Iterable[int] = (),
        controls: Mapping[int, object] | None = None,
    ) -> None:  # fmt: skip
        self.ids, self.scope = ids, scope
        self.checks, self.controls = frozenset(checks), controls or {}

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.ids)
        return self.ids[order], order

    def place(self, sample: int) -> int | None:
        """Where this sample comes, from 0; None if it is not in the queue."""
        ids, order = self._sorted
        at, known = find(ids, np.array([sample]))
        return int(order[at[0]]) if known[0] else None

    def places(self, samples: np.ndarray) -> np.ndarray:
        """Places of samples that are all in the queue, int64 (n,)."""
        ids, order = self._sorted
        return order[np.searchsorted(ids, samples)]

    def holds(self, samples: np.ndarray) -> np.ndarray:
        """Mask, bool (n,), of the samples that are in the queue."""
        return find(self._sorted[0], samples)[1]

    @cached_property
    def _sorted_scope(self) -> np.ndarray:
        return self._sorted[0] if self.scope is self.ids else np.sort(self.scope)

    def covers(self, samples: np.ndarray) -> np.ndarray:
        """Mask, bool (n,), of the samples that are in the scope."""
        return find(self._sorted_scope, samples)[1]


def make_queue(dataset: Dataset, wanted: QueueFilter, reviewer: str) -> Queue:
    """The samples that a reviewer is to look at, most suspicious first.

    They are suspects; with the status "mine" (has a verdict of this reviewer) or "disagreed"
    (reviewers say different things) any samples that the run predicted. Those with the tag
    `removed` are left out but for these two, unless that tag is asked for. Random checks come only
    among all suspects: who looks at a class pair wants that.
    Raises LabelAuditError for an unknown status, run, score, class or split.
    """
    if wanted.status not in STATUSES:
        raise LabelAuditError(
            f"{wanted.status!r} is no status: choose one of {', '.join(STATUSES)}."
        )
    run = dataset.run(wanted.run)
    score = check_score(run, wanted.score)
    keeps_removed = wanted.tag == REMOVED or wanted.status in (MINE, DISAGREED)
    if wanted.everything or keeps_removed:
        # of a sample that was not predicted there is nothing to judge it by
        view = dataset.view(run.name).above("confidence", 0)
        view = view if keeps_removed else view.exclude_tag(REMOVED)
        view = view.sort_by(score, reverse=True)
    else:
        view = suspects(dataset, run.name, score)
    view = view.match(label=wanted.given, prediction=wanted.predicted, split=wanted.split)
    view = view.match_tag(wanted.tag) if wanted.tag else view
    if wanted.low is not None or wanted.high is not None:
        low = -np.inf if wanted.low is None else wanted.low
        view = view.between(score, low, np.inf if wanted.high is None else wanted.high)
    scope, checks = view.ids, np.empty(0, np.int64)
    if wanted.checks and wanted.whole:
        checks = view.frame.cached(
            ("checks", run.name, score), view.fields.stamp(),
            lambda: random_checks(dataset, run.name, scope),
        )  # fmt: skip
        scope = mixed(scope, checks, (1 + np.arange(len(checks))) * CHECKS_EVERY - 1)
    ids = _of_status(dataset, scope, wanted.status, reviewer)
    return Queue(ids, ids if wanted.status in (MINE, DISAGREED) else scope, checks.tolist())


def random_checks(dataset: Dataset, run: str, suspects: np.ndarray) -> np.ndarray:
    """Ids drawn evenly from the labelled samples that the run predicted and that are no suspects:
    what a ranking misses only they tell. One for CHECKS_EVERY - 1 suspects, at most MOST_CHECKS.

    Always the same ones, whoever asks and whatever was decided: they are those of the least hash.
    """
    view = dataset.view(run).exclude_tag(REMOVED).above("confidence", 0)
    with view.steady():
        at = view.positions()
        ids = view.frame.ids[at[view.frame.label[at] != MISSING]]
        count = min(len(suspects) // (CHECKS_EVERY - 1), MOST_CHECKS)
        drawn = least_hashed(ids, (dataset.created, dataset.run(run).id), count + len(suspects))
    return drawn[~np.isin(drawn, suspects)][:count]


def least_hashed(ids: np.ndarray, salt: tuple, count: int) -> np.ndarray:
    """The `count` of these ids whose hash is least, by hash: a random draw that stays what it was
    when some other ids come or go."""
    z = hashed(ids, salt)
    if count < len(ids):
        least = np.argpartition(z, count)[:count]
        ids, z = ids[least], z[least]
    return ids[np.argsort(z, kind="stable")]


def hashed(ids: np.ndarray, salt: tuple) -> np.ndarray:
    """A number for each id that looks random, uint64 (n,); other ones for another salt. Source:
    splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators")."""
    seed = int.from_bytes(sha256(repr(salt).encode()).digest()[:8], "little")
    z = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def mixed(ids: np.ndarray, others: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Ids with others among them, so that these come at the given places (increasing)."""
    return np.insert(ids, np.minimum(places - np.arange(len(places)), len(ids)), others)


def _of_status(dataset: Dataset, ids: np.ndarray, status: str, reviewer: str) -> np.ndarray:
    if status == ALL:
        return ids
    if status == DISAGREED:
        said = opinions(verdict_log.read(dataset.view().frame))
        return ids[np.isin(ids, said.samples[~said.agreed])]
    return ids[np.isin(ids, Review(dataset, reviewer).judged(), invert=status == TODO)]


@dataclass(frozen=True)
class Opinions:
    """What those who are not unsure say a sample is. Samples are sorted; `at` and `rows` are of the
    verdicts that count."""

    samples: np.ndarray  # int64 (n,)
    agreed: np.ndarray  # bool (n,)
    target: np.ndarray  # int64 (n,), the class that it is, or OUT; of one of them, unless agreed
    rows: np.ndarray  # int64 (m,), places in the log
    at: np.ndarray  # int64 (m,), place of each row's sample


OUT = -2  # "class" of a sample that does not belong in the dataset


def opinions(log: verdict_log.Log, reviewers: Sequence[str] | None = None) -> Opinions:
    """What reviewers (None: all) say of each sample that one of them is sure of.

    To keep a label and to give the same one are one opinion, whoever saw the sample first.
    """
    rows = log.current
    rows = rows[log.verdict[rows] != UNSURE]
    if reviewers is not None:
        rows = rows[np.isin(log.reviewer[rows], [log.code(name) for name in reviewers])]
    kept, removed = log.verdict[rows] == KEEP, log.verdict[rows] == REMOVE
    target = np.where(kept, log.given[rows], log.label[rows]).astype(np.int64)
    target[removed] = OUT
    samples, first, at = np.unique(log.sample[rows], return_index=True, return_inverse=True)
    agreed = np.ones(len(samples), bool)
    agreed[at[target != target[first][at]]] = False
    return Opinions(samples, agreed, target[first], rows, at)


@dataclass(frozen=True)
class Verdict:
    """What one reviewer says of one sample."""

    verdict: str  # a word of VERDICTS
    label: str | None  # the class that "relabel" gives
    reviewer: str
    time: str


@dataclass(frozen=True)
class Reviewed:
    """How far a reviewer is with a queue."""

    total: int  # samples that the filter lets through, whatever their verdicts
    reviewed: int  # of these with a verdict of this reviewer
    wrong: int  # of these to be relabelled or removed; a duplicate that is removed is not wrong
    recent: int  # of the reviewer's latest verdicts, at most RECENT, on any sample …
    recent_wrong: int  # … how many found a wrong label


class Review:
    """The verdicts of one reviewer on a dataset. Every call that decides is on disk when it ends.

    Verdicts change no label: `labelaudit.apply_verdicts` does, when somebody says so.
    """

    def __init__(self, dataset: Dataset, reviewer: str) -> None:
        self.dataset, self.reviewer = dataset, verdict_log.check_reviewer(reviewer)
        self._frame = dataset.view().frame

    def decide(
        self,
        ids: int | Sequence[int] | np.ndarray,
        verdict: str,
        label: str | Sequence[str] | None = None,
        *,
        seen: Sequence[str | None] | None = None,
    ) -> int:
        """Give samples one verdict: keep, relabel (to `label`, one for all or one each), remove or
        unsure. It takes the place of an earlier one. Returns the batch, which is undone as one.

        To relabel a sample as what it is labelled now is to keep it. seen: the labels that the
        reviewer was shown; where one is another by now, nothing is decided: LabelAuditError, as for
        an unknown verdict, class or id. ids: one, or (n,).
        """
        if verdict not in VERDICTS:
            raise LabelAuditError(
                f"{verdict!r} is no verdict: the verdicts are {', '.join(VERDICTS)}."
            )
        if (verdict == "relabel") != (label is not None):
            raise LabelAuditError(
                "relabel needs a label: say which class." if label is None
                else f"{verdict!r} takes no label ({label!r} was given)."
            )  # fmt: skip
        ids = as_ids(ids)
        if not len(ids):
            raise LabelAuditError("no sample was given: choose at least one.")
        with self._frame.writing():
            with self._frame.steady():
                given = self._frame.label[self._frame.positions(ids)]
            self._check_seen(ids, given, seen)
            code = VERDICTS.index(verdict)
            labels = np.full(len(ids), MISSING, np.int32)
            if label is not None:
                names = [label] * len(ids) if isinstance(label, str) else list(label)
                labels = self._frame.class_codes(names)
                if len(labels) != len(ids) or (labels == MISSING).any():
                    raise LabelAuditError(f"give each of the {len(ids)} samples a class.")
            same = (code == RELABEL) & (labels == given)
            return verdict_log.append(
                self._frame, self.reviewer, np.where(same, KEEP, code), ids,
                np.where(same, MISSING, labels), given,
            )  # fmt: skip

    def _check_seen(
        self, ids: np.ndarray, given: np.ndarray, seen: Sequence[str | None] | None
    ) -> None:
        if seen is None:
            return
        changed = np.flatnonzero(self._frame.class_codes(seen) != given)
        if len(changed):
            raise LabelAuditError(
                f"sample {ids[changed[0]]} was relabelled meanwhile: look at it again, then decide."
            )

    def undo(self) -> np.ndarray:
        """Take back this reviewer's latest batch. Returns its samples, int64 (n,); none without a
        batch."""
        return self._reverse(UNDO)

    def redo(self) -> np.ndarray:
        """Give again what was undone last, unless something was decided since. Returns its samples,
        int64 (n,)."""
        return self._reverse(REDO)

    def _reverse(self, event: int) -> np.ndarray:
        with self._frame.writing():
            log = verdict_log.read(self._frame)
            batch = log.undoable(self.reviewer) if event == UNDO else log.redoable(self.reviewer)
            if batch is None:
                return np.empty(0, np.int64)
            verdict_log.append_events(self._frame, self.reviewer, event, np.array([batch]))
        return log.samples_of(batch)

    def judged(self) -> np.ndarray:
        """Samples with a verdict of this reviewer, int64 (n,), in the order of the verdicts."""
        log = verdict_log.read(self._frame)
        current = log.current
        return log.sample[current[log.reviewer[current] == log.code(self.reviewer)]]

    def reviewers(self) -> list[str]:
        """Names of those who have a verdict that stands."""
        log = verdict_log.read(self._frame)
        return [log.reviewers[code] for code in np.unique(log.reviewer[log.current])]

    def can(self) -> tuple[bool, bool]:
        """Whether there is something to undo, and to redo."""
        log = verdict_log.read(self._frame)
        return log.undoable(self.reviewer) is not None, log.redoable(self.reviewer) is not None

    def of(self, ids: Sequence[int] | np.ndarray) -> list[list[Verdict]]:
        """What is said of each of these ids, (n,): this reviewer's verdict first, then others'."""
        log = verdict_log.read(self._frame)
        rows = log.current
        rows = rows[np.isin(log.sample[rows], as_ids(ids))]
        own = log.code(self.reviewer)
        found: dict[int, list[Verdict]] = {}
        for row in sorted(rows, key=lambda row: log.reviewer[row] != own):
            found.setdefault(int(log.sample[row]), []).append(self._verdict(log, row))
        return [found.get(int(sample), []) for sample in as_ids(ids)]

    def _verdict(self, log: verdict_log.Log, row: int) -> Verdict:
        label = log.label[row]
        return Verdict(
            VERDICTS[log.verdict[row]],
            None if label == MISSING else self._frame.classes[label],
            log.reviewers[log.reviewer[row]],
            log.time[row],
        )

    def progress(self, queue: Queue) -> Reviewed:
        """How far this reviewer is with a queue that `make_queue` gave."""
        log = verdict_log.read(self._frame)
        rows = log.current
        rows = rows[log.reviewer[rows] == log.code(self.reviewer)]
        removed = log.verdict[rows] == REMOVE
        if removed.any():
            removed[removed] = ~has_copy(self.dataset, log.sample[rows[removed]])
        wrong = removed | (log.verdict[rows] == RELABEL)
        inside = queue.covers(log.sample[rows])
        return Reviewed(
            len(queue.scope), int(inside.sum()), int((inside & wrong).sum()),
            len(rows[-RECENT:]), int(wrong[-RECENT:].sum()),
        )  # fmt: skip
