"""Computes all scores that need logits together. Logits are read at most twice, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ..core.prefetch import prefetch
from ..core.progress import Task
from ..dataset.arrays import find
from ..dataset.runs import Run
from ..scores import Score
from ..scores.base import FittedScore, LogitScore, LogitsInfo
from ..scores.self_test import SelfTest
from ..scores.softmax import Softmax

BLOCK = 1 << 18  # logits per block, so that temporary arrays stay in the processor cache
CACHED_BYTES = 256 << 20  # logits up to this size are kept in memory for the second pass

Block = tuple[np.ndarray, np.ndarray]  # places int (m,), logits float32 (m, C)
Suggestions = tuple[np.ndarray, np.ndarray]  # classes, int32 (n,), and their probabilities


class Judge:
    """The models of all requested scores that need logits; other scores are ignored.

    If `reads_twice`, pass all blocks to `observe` first. Then call `fit`, then `score` for every
    block. Several copies may observe different blocks; see `BlockModel`.
    """

    def __init__(self, scores: Sequence[Score], info: LogitsInfo) -> None:
        logit_scores = [s for s in scores if isinstance(s, LogitScore | FittedScore)]
        self.models = {score.name: score.model(info) for score in logit_scores}
        # labels are suggested by one score, the first that does
        suggesting = (name for name, model in self.models.items() if model.suggests)
        self._suggesting = next(suggesting, None)

    @property
    def names(self) -> list[str]:
        return list(self.models)

    @property
    def reads_twice(self) -> bool:
        return any(model.reads_twice for model in self.models.values())

    @property
    def suggests(self) -> bool:
        return self._suggesting is not None

    @property
    def self_test(self) -> SelfTest | None:
        """The self-test of suspicion, after `fit`; None if there is none."""
        tests = (getattr(model, "self_test", None) for model in self.models.values())
        return next((test for test in tests if test), None)

    def start_at(self, row: int) -> None:
        """Call before the first `observe` of a copy if `row` samples come before its blocks."""
        for model in self.models.values():
            model.start_at(row)

    def observe(self, labels: np.ndarray, softmax: Softmax) -> None:
        """Take in one block. labels: int (m,)."""
        for model in self.models.values():
            model.observe(labels, softmax)

    def merge(self, other: Judge) -> None:
        """Take in everything that another copy observed in the blocks that follow."""
        for name, model in self.models.items():
            model.merge(other.models[name])

    def fit(self) -> None:
        """Fit all models to what was observed."""
        for model in self.models.values():
            model.fit()

    def score(
        self, labels: np.ndarray, logits: np.ndarray, others: Sequence[np.ndarray] = ()
    ) -> tuple[dict, Suggestions | None]:
        """Return the scores of a block by name, float64 (m,), and the suggested labels.

        labels: int (m,). logits, others: float (m, C), see `Softmax`.
        """
        softmax, suggestions, found = Softmax(logits, others), None, {}
        for name, model in self.models.items():
            result = model.score(labels, softmax)
            if model.suggests:
                result, *suggested = result
                if name == self._suggesting:
                    suggestions = tuple(suggested)
            found[name] = result
        return found, suggestions


def make_judge(
    run: Run,
    wanted: Sequence[Score],
    labels: np.ndarray,
    out_of_sample: bool,
    witness: np.ndarray | None = None,
) -> Judge | None:
    """Return the judge of a run; None without predictions, or if no wanted score needs logits."""
    if not run.has_predictions():
        return None
    others = 0 if witness is None else 1
    labelled = int((labels >= 0).sum())
    look, lacking = run.is_first_look, run.lacking
    info = LogitsInfo(len(run.classes), labelled, out_of_sample, others, look, lacking)
    judge = Judge(wanted, info)
    return judge if judge.models else None


def from_logits(
    run: Run,
    wanted: Sequence[Score],
    ids: np.ndarray,
    labels: np.ndarray,
    out_of_sample: bool,
    task: Task,
    witness: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], Suggestions | None, SelfTest | None]:
    """Compute the wanted scores that need logits.

    ids: int64 (n,), sorted. labels: int (n,), negative for none. out_of_sample: whether the model
    was not trained on these labels. witness: logits, float16 (n, C), of another run that did not
    see the labels, which suspicion reads as well; rows of zeros if it has no prediction.
    Returns scores by name, float64 (n,), NaN for samples without a prediction, the suggested
    labels if a score suggests some, and the self-test of suspicion. There are no scores without
    predictions.
    """
    judge = make_judge(run, wanted, labels, out_of_sample, witness)
    if judge is None:
        return {}, None, None
    reader = _LogitsReader(run, ids, task, passes=2 if judge.reads_twice else 1)
    if judge.reads_twice:
        with_softmax = partial(_with_softmax, witness=witness)
        for places, softmax in prefetch(with_softmax, reader.blocks()):
            judge.observe(labels[places], softmax)
    judge.fit()
    result = ScoreArrays(judge, len(ids))

    def score_block(block: Block) -> None:  # threads write to different places
        places, logits = block
        result.put(places, *judge.score(labels[places], logits, others_at(witness, places)))

    for _ in prefetch(score_block, reader.blocks()):
        pass
    return result.scores, result.suggestions, judge.self_test


class ScoreArrays:
    """Scores of all samples, filled block by block.

    `scores`: float64 (n,) by name, NaN for none. `suggestions`: None if the judge makes none.
    """

    def __init__(self, judge: Judge, samples: int) -> None:
        self.scores = {name: np.full(samples, np.nan) for name in judge.names}
        empty = np.full(samples, -1, np.int32), np.full(samples, np.nan)
        self.suggestions: Suggestions | None = empty if judge.suggests else None

    def put(self, places: np.ndarray, found: dict, suggestions: Suggestions | None) -> None:
        """Store the result of `Judge.score` at these places, int (m,)."""
        for name, values in found.items():
            self.scores[name][places] = values
        if suggestions:
            for array, values in zip(self.suggestions, suggestions, strict=True):
                array[places] = values


def others_at(witness: np.ndarray | None, places: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the witness's logits at these places, int (m,), as `Softmax` takes them."""
    return () if witness is None else (witness[places].astype(np.float32),)


def _with_softmax(block: Block, witness: np.ndarray | None) -> tuple[np.ndarray, Softmax]:
    softmax = Softmax(block[1], others_at(witness, block[0]))
    _ = softmax.total  # computed here, in this thread
    return block[0], softmax


class _LogitsReader:
    """Reads the logits of all predicted samples, once or several times."""

    def __init__(self, run: Run, ids: np.ndarray, task: Task, passes: int) -> None:
        self._run, self._ids, self._task = run, ids, task
        self._stage = task.stage("scoring", passes * len(ids))
        fits = len(ids) * len(run.classes) * 4 <= CACHED_BYTES
        self._cache: list[Block] | None = [] if fits and passes > 1 else None
        self._cached = False

    def blocks(self) -> Iterator[Block]:
        for places, logits in self._cache if self._cached else self._stored():
            self._task.check("scoring")
            rows = max(BLOCK // logits.shape[1], 1)
            for start in range(0, len(places), rows):
                yield places[start : start + rows], logits[start : start + rows]
            self._stage.advance(len(places))
        self._cached = self._cache is not None

    def _stored(self) -> Iterator[Block]:
        for predicted, logits in self._run.logits():
            places, known = find(self._ids, predicted)
            block = (places, logits) if known.all() else (places[known], logits[known])
            if self._cache is not None:
                self._cache.append(block)
            yield block
