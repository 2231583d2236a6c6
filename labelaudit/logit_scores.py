"""All scores of logits at once: these are read at most twice, in blocks, by threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .ahead import made_ahead
from .errors import StoppedError
from .frame import find
from .progress import Meter, ProgressCallback, StopCheck
from .runs import Run
from .scores import Score
from .scores.beliefs import Beliefs
from .scores.confident_learning import ConfidentLearning
from .scores.suspicion import SUSPICION, Suspicion

BLOCK = 1 << 18  # logits at a time: what is made of them stays in the processor's cache
HELD_BYTES = 256 << 20  # logits up to this are kept for the second reading
ALL_LOGITS, POSTERIOR = "all_logits", "posterior"

Block = tuple[np.ndarray, np.ndarray]  # places int (m,), logits float32 (m, C)
Suggestions = tuple[np.ndarray, np.ndarray]  # classes, int32 (n,), and their probabilities


def from_logits(
    run: Run,
    wanted: Sequence[Score],
    ids: np.ndarray,
    labels: np.ndarray,
    out_of_sample: bool,
    progress: ProgressCallback,
    stop: StopCheck,
) -> tuple[dict[str, np.ndarray], Suggestions | None]:
    """Those scores of a run that read its logits, float64 (n,), by name, NaN for samples without a
    prediction; and, where suspicion is wanted, the labels that it suggests. None of them where
    nothing is predicted.

    ids: int64 (n,), sorted. labels: int (n,), negative for none. out_of_sample: whether the logits
    are of a model that did not learn these labels.
    """
    direct = [score for score in wanted if score.reads == "logits"]
    models = {}
    for score in wanted:
        if score.reads == ALL_LOGITS:
            models[score.name] = ConfidentLearning(len(run.classes))
        elif score.reads == POSTERIOR:
            models[score.name] = Suspicion(int((labels >= 0).sum()), out_of_sample)
    if not run.has_predictions() or not (direct or models):
        return {}, None
    source = _Source(run, ids, progress, stop, times=2 if models else 1)
    if models:
        for places, beliefs in made_ahead(_believed, source.blocks()):
            for model in models.values():
                model.look(labels[places], beliefs)
    if SUSPICION in models:
        models[SUSPICION].fit()
    scores = {name: np.full(len(ids), np.nan) for name in (*(s.name for s in direct), *models)}
    suggested, suggested_p = np.full(len(ids), -1, np.int32), np.full(len(ids), np.nan)

    def score_block(block: Block) -> None:  # threads write to different places
        places, beliefs = block[0], Beliefs(block[1])
        given = labels[places]
        for score in direct:
            scores[score.name][places] = score.function(given, beliefs)
        for name, model in models.items():
            found = model.score(given, beliefs)
            if name == SUSPICION:
                found, suggested[places], suggested_p[places] = found
            scores[name][places] = found

    for _ in made_ahead(score_block, source.blocks()):
        pass
    return scores, (suggested, suggested_p) if SUSPICION in models else None


def _believed(block: Block) -> tuple[np.ndarray, Beliefs]:
    beliefs = Beliefs(block[1])
    _ = beliefs.total  # by this thread
    return block[0], beliefs


class _Source:
    """The logits of the samples that are predicted, as often as they are asked for."""

    def __init__(self, run: Run, ids: np.ndarray, progress, stop: StopCheck, times: int) -> None:
        self._run, self._ids, self._stop = run, ids, stop
        self._meter = Meter("scoring", times * len(ids), progress)
        fits = len(ids) * len(run.classes) * 4 <= HELD_BYTES
        self._held: list[Block] | None = [] if fits and times > 1 else None
        self._read = False

    def blocks(self) -> Iterator[Block]:
        stored = self._held if self._read and self._held is not None else self._stored()
        for places, logits in stored:
            if self._stop():
                raise StoppedError("scoring was stopped: nothing of it is kept.")
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
