"""Scores by many workers: each reads ranges of the stored predictions, twice.

First each worker lets a copy of the judge look at its blocks; these are merged in the order of the
rows, so that the outcome is that of one process. Then the judge is fitted, and goes round to score
the blocks. Labels and scores of all samples are held by the driver, logits by nobody.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from ..core.progress import QUIET, Task
from ..dataset.arrays import find
from ..dataset.dataset import Dataset
from ..dataset.run_predictions import LOGIT_BATCH_BYTES
from ..dataset.runs import Run
from ..ranking.logit_scores import BLOCK, Judge, Scored, Suggestions, judge_of
from ..ranking.ranking import Means, compute_scores_by
from ..scores import Score
from ..scores.beliefs import Beliefs
from .message_board import new_board, watched
from .nearest import answered_by_workers
from .row_blocks import over_blocks
from .start import connected, needs, workers

LEAST_ROWS = 20_000  # that a worker reads at a time: a few hundredths of a second of work
BLOCKS_A_WORKER = 4
SUGGESTED, SUGGESTED_P = "suggested", "suggested_p"


def compute_scores(
    dataset: Dataset,
    run: str | None = None,
    names: Sequence[str] | None = None,
    task: Task = QUIET,
) -> list[str]:
    """`labelaudit.compute_scores` by the workers of a Ray cluster, with the same outcome."""
    with connected():
        means = Means(from_logits, answered_by_workers)
        return compute_scores_by(means, dataset, run, names, task)


def from_logits(
    run: Run,
    wanted: Sequence[Score],
    ids: np.ndarray,
    labels: np.ndarray,
    out_of_sample: bool,
    task: Task,
) -> tuple[dict[str, np.ndarray], Suggestions | None]:
    """As `logit_scores.from_logits`."""
    judge = judge_of(run, wanted, labels, out_of_sample)
    if judge is None:
        return {}, None
    return _Scoring(run, judge, ids, labels, task).run()


class Reader:
    """Blocks of stored predictions, as some version of the table has them."""

    def __init__(self, uri: str, version: int, classes: int) -> None:
        self.uri, self.version, self.classes = uri, version, classes

    def parts(self, block: pa.Table) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(places, labels, logits float32 (m, C)) of a block of rows that lie side by side, as much
        at a time as one process takes. block: `row`, where it is stored, `place` and `label`; place
        -1 for a sample that is not there any more."""
        import lance

        first = block["row"][0].as_py()
        stored = lance.dataset(self.uri, version=self.version).scanner(
            columns=["logits"], offset=first, limit=len(block)
        )
        logits = stored.to_table()["logits"].combine_chunks().flatten().to_numpy()
        logits = logits.reshape(-1, self.classes)
        places, labels = (block[name].to_numpy() for name in ("place", "label"))
        known = places >= 0
        if not known.all():
            places, labels, logits = places[known], labels[known], logits[known]
        rows = max(BLOCK // self.classes, 1)
        for start in range(0, len(places), rows):
            at = slice(start, start + rows)
            yield places[at], labels[at], logits[at]


def look(block: pa.Table, reader: Reader, judge: Judge) -> dict[str, np.ndarray]:
    """A copy of the judge that has seen a block, as one row."""
    own = copy.deepcopy(judge)  # the same block may be looked at again
    own.begin_at(block["before"][0].as_py())
    for _, labels, logits in reader.parts(block):
        own.look(labels, Beliefs(logits))
    seen = np.empty(1, object)
    seen[0] = own
    return {"seen": seen, "rows": np.array([len(block)])}


def score(block: pa.Table, reader: Reader, judge: Judge) -> pa.Table:
    """The scores of a block: `place`, and a column a score."""
    parts = []
    for places, labels, logits in reader.parts(block):
        found, suggestions = judge.score(labels, logits)
        columns = {"place": places, **found}
        if suggestions:
            columns |= {SUGGESTED: suggestions[0], SUGGESTED_P: suggestions[1]}
        parts.append(pa.table({name: pa.array(values) for name, values in columns.items()}))
    return pa.concat_tables(parts) if parts else pa.table({"place": pa.array([], pa.int64())})


class _Scoring:
    def __init__(self, run: Run, judge: Judge, ids, labels, task: Task) -> None:
        self.judge, self.samples, self.task = judge, len(ids), task
        self.reader = Reader(*run.logits_location(), len(run.classes))
        stored = run.predicted_ids()
        places, known = find(ids, stored)
        self.rows = {
            "row": np.arange(len(stored)),
            "before": np.cumsum(known) - known,
            "place": np.where(known, places, -1),
            "label": np.where(known, labels[places], -1).astype(np.int32),
        }
        times = 2 if judge.looks_first else 1
        self.meter = task.stage("scoring", times * len(stored))
        self.board = new_board()

    def run(self) -> tuple[dict[str, np.ndarray], Suggestions | None]:
        return watched(
            self._work,
            self.board,
            lambda *_: None,
            self.task,
            "scoring",
        )

    def _work(self) -> tuple[dict[str, np.ndarray], Suggestions | None]:
        if self.judge.looks_first:
            for seen in self._over_blocks(look, "numpy"):
                for one in seen["seen"]:
                    self.judge.merge(one)
                self.meter.advance(int(seen["rows"].sum()))
        self.judge.fit()
        scored = Scored(self.judge, self.samples)
        for block in self._over_blocks(score, "pyarrow"):
            _put(scored, block)
            self.meter.advance(len(block))
        return scored.scores, scored.suggestions

    def _over_blocks(self, work, made: str) -> Iterator:
        """What the workers make of the blocks, in their order. made: its format, as Ray has it."""
        total = len(self.rows["row"])
        if not total:
            return
        # as many rows as one process takes at a time, or that many times: sums come out the same
        unit = max(BLOCK // self.reader.classes, 1)
        most = max(LOGIT_BATCH_BYTES // (4 * self.reader.classes), 1)
        rows = max(min(total // (BLOCKS_A_WORKER * workers()), most), LEAST_ROWS)
        rows = max(rows // unit, 1) * unit if rows > unit else rows
        done = over_blocks(self.rows, rows, work, fn_args=(self.reader, self.judge), **needs("cpu"))
        yield from done.iter_batches(batch_size=None, batch_format=made, prefetch_batches=1)


def _put(scored: Scored, block: pa.Table) -> None:
    columns = {name: block[name].to_numpy() for name in block.column_names}
    places = columns.pop("place")
    suggestions = None
    if SUGGESTED in columns:
        suggestions = columns.pop(SUGGESTED), columns.pop(SUGGESTED_P)
    scored.put(places, columns, suggestions)
