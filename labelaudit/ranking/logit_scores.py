"""All scores of logits at once: these are read at most twice, in blocks, by threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.arrays import find
from ..dataset.runs import Run
from ..scores import SCORES, Score
from ..scores.beliefs import Beliefs
from ..scores.confident_learning import ConfidentLearning
from ..scores.suspicion import SUSPICION, Suspicion

BLOCK = 1 << 18  # logits at a time: what is made of them stays in the processor's cache
HELD_BYTES = 256 << 20  # logits up to this are kept for the second reading
ALL_LOGITS, POSTERIOR = "all_logits", "posterior"

Block = tuple[np.ndarray, np.ndarray]  # places int (m,), logits float32 (m, C)
Suggestions = tuple[np.ndarray, np.ndarray]  # classes, int32 (n,), and their probabilities


class Judge:
    """The scores that read logits, of blocks: first `look` at all (where `looks_first`), then
    `fit`, then `score` each.

    Several can look at different blocks, each a copy of its own, and then be merged. labelled: how
    many samples have a label. out_of_sample: see `from_logits`.
    """

    def __init__(
        self, wanted: Sequence[Score], classes: int, labelled: int, out_of_sample: bool
    ) -> None:
        self.direct = [score.name for score in wanted if score.reads == "logits"]
        self.models: dict[str, ConfidentLearning | Suspicion] = {}
        for score in wanted:
            if score.reads == ALL_LOGITS:
                self.models[score.name] = ConfidentLearning(classes)
            elif score.reads == POSTERIOR:
                self.models[score.name] = Suspicion(labelled, out_of_sample)

    @property
    def names(self) -> list[str]:
        return [*self.direct, *self.models]

    @property
    def looks_first(self) -> bool:
        return bool(self.models)

    @property
    def suggests(self) -> bool:
        return SUSPICION in self.models

    def begin_at(self, row: int) -> None:
        """Before the first `look`: that many rows are looked at by others, and come before."""
        if self.suggests:
            self.models[SUSPICION].begin_at(row)

    def look(self, labels: np.ndarray, beliefs: Beliefs) -> None:
        for model in self.models.values():
            model.look(labels, beliefs)

    def merge(self, other: Judge) -> None:
        """Take in what another one has seen, of the rows that follow."""
        for name, model in self.models.items():
            model.merge(other.models[name])

    def fit(self) -> None:
        if self.suggests:
            self.models[SUSPICION].fit()

    def score(self, labels: np.ndarray, logits: np.ndarray) -> tuple[dict, Suggestions | None]:
        """Scores of a block by name, float64 (m,), and what is suggested."""
        beliefs, suggestions = Beliefs(logits), None
        found = {name: SCORES[name].function(labels, beliefs) for name in self.direct}
        for name, model in self.models.items():
            found[name] = model.score(labels, beliefs)
            if name == SUSPICION:
                found[name], *suggestions = found[name]
        return found, suggestions


def from_logits(
    run: Run,
    wanted: Sequence[Score],
    ids: np.ndarray,
    labels: np.ndarray,
    out_of_sample: bool,
    task: Task,
) -> tuple[dict[str, np.ndarray], Suggestions | None]:
    """Those scores of a run that read its logits, float64 (n,), by name, NaN for samples without a
    prediction; and, where suspicion is wanted, the labels that it suggests. None of them where
    nothing is predicted.

    ids: int64 (n,), sorted. labels: int (n,), negative for none. out_of_sample: whether the logits
    are of a model that did not learn these labels.
    """
    judge = judge_of(run, wanted, labels, out_of_sample)
    if judge is None:
        return {}, None
    source = _Source(run, ids, task, times=2 if judge.looks_first else 1)
    if judge.looks_first:
        for places, beliefs in prefetch(_believed, source.blocks()):
            judge.look(labels[places], beliefs)
    judge.fit()
    scored = Scored(judge, len(ids))

    def score_block(block: Block) -> None:  # threads write to different places
        scored.put(block[0], *judge.score(labels[block[0]], block[1]))

    for _ in prefetch(score_block, source.blocks()):
        pass
    return scored.scores, scored.suggestions


def judge_of(
    run: Run, wanted: Sequence[Score], labels: np.ndarray, out_of_sample: bool
) -> Judge | None:
    """None where there is nothing to judge, or nothing to judge it by."""
    if not run.has_predictions():
        return None
    judge = Judge(wanted, len(run.classes), int((labels >= 0).sum()), out_of_sample)
    return judge if judge.names else None


class Scored:
    """Scores of all samples, filled block by block: `scores`, float64 (n,) by name, NaN for none;
    `suggestions`, None where the judge makes none."""

    def __init__(self, judge: Judge, samples: int) -> None:
        self.scores = {name: np.full(samples, np.nan) for name in judge.names}
        nothing = np.full(samples, -1, np.int32), np.full(samples, np.nan)
        self.suggestions: Suggestions | None = nothing if judge.suggests else None

    def put(self, places: np.ndarray, found: dict, suggestions: Suggestions | None) -> None:
        for name, values in found.items():
            self.scores[name][places] = values
        if suggestions:
            for mine, some in zip(self.suggestions, suggestions, strict=True):
                mine[places] = some


def _believed(block: Block) -> tuple[np.ndarray, Beliefs]:
    beliefs = Beliefs(block[1])
    _ = beliefs.total  # by this thread
    return block[0], beliefs


class _Source:
    """The logits of the samples that are predicted, as often as they are asked for."""

    def __init__(self, run: Run, ids: np.ndarray, task: Task, times: int) -> None:
        self._run, self._ids, self._task = run, ids, task
        self._meter = task.stage("scoring", times * len(ids))
        fits = len(ids) * len(run.classes) * 4 <= HELD_BYTES
        self._held: list[Block] | None = [] if fits and times > 1 else None
        self._read = False

    def blocks(self) -> Iterator[Block]:
        stored = self._held if self._read and self._held is not None else self._stored()
        for places, logits in stored:
            self._task.check("scoring")
            rows = max(BLOCK // logits.shape[1], 1)
            for start in range(0, len(places), rows):
                yield places[start : start + rows], logits[start : start + rows]
            self._meter.advance(len(places))
        self._read = True

    def _stored(self) -> Iterator[Block]:
        for predicted, logits in self._run.logits():
            places, known = find(self._ids, predicted)
            block = (places, logits) if known.all() else (places[known], logits[known])
            if self._held is not None:
                self._held.append(block)
            yield block
