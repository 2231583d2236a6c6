"""Computes scores on many workers, which read ranges of the stored predictions twice.

First, copies of the judge look at one block each. They are merged in the order of the rows, so the
result is the same as in a single process. Then the judge is fitted, and copies of it score the
blocks. The driver has the labels and scores of all samples in memory; no process has all logits.
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
from ..ranking.logit_scores import BLOCK, Judge, ScoreArrays, Suggestions, make_judge, others_at
from ..ranking.scoring import Backend, compute_scores_by
from ..scores import Score
from ..scores.self_test import SelfTest
from ..scores.softmax import Softmax
from .connection import connected, worker_count, worker_options
from .coordinator import new_coordinator, run_watched
from .nearest import search_on_workers
from .row_blocks import map_blocks

LEAST_ROWS = 20_000  # per block: a few hundredths of a second of work
BLOCKS_PER_WORKER = 4
SUGGESTED, SUGGESTED_P = "suggested", "suggested_p"


def compute_scores(
    dataset: Dataset,
    run: str | None = None,
    names: Sequence[str] | None = None,
    task: Task = QUIET,
) -> list[str]:
    """Do the same as `labelaudit.compute_scores`, on the workers of a Ray cluster."""
    with connected():
        backend = Backend(from_logits, search_on_workers)
        return compute_scores_by(backend, dataset, run, names, task)


def from_logits(
    run: Run,
    wanted: Sequence[Score],
    ids: np.ndarray,
    labels: np.ndarray,
    out_of_sample: bool,
    task: Task,
    witness: np.ndarray | None = None,
) -> tuple[dict[str, np.ndarray], Suggestions | None, SelfTest | None]:
    """Do the same as `logit_scores.from_logits`."""
    judge = make_judge(run, wanted, labels, out_of_sample, witness)
    if judge is None:
        return {}, None, None
    return _Scoring(run, judge, ids, labels, task, witness).run()


class Reader:
    """Reads blocks of stored predictions from a version of their table."""

    def __init__(self, uri: str, version: int, classes: int, witness=None) -> None:
        """witness: a Ray reference to logits of all samples, see `logit_scores.from_logits`."""
        self.uri, self.version, self.classes = uri, version, classes
        self._witness = witness

    def others(self, places: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the witness's logits at these places, int (m,), as `Softmax` takes them."""
        import ray

        return others_at(None if self._witness is None else ray.get(self._witness), places)

    def parts(self, block: pa.Table) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield (places, labels, logits float32 (m, C)) of a block of consecutive rows, in parts as
        large as in a single process.

        block: with the columns `row` (in the table), `place` (-1 for a deleted sample) and `label`.
        """
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
    """Return a copy of the judge that has looked at a block, as one row."""
    own = copy.deepcopy(judge)  # a retry must start from the same state
    own.start_at(block["before"][0].as_py())
    for places, labels, logits in reader.parts(block):
        own.observe(labels, Softmax(logits, reader.others(places)))
    judges = np.empty(1, object)
    judges[0] = own
    return {"judge": judges, "rows": np.array([len(block)])}


def score(block: pa.Table, reader: Reader, judge: Judge) -> pa.Table:
    """Return the scores of a block: `place`, and one column per score."""
    parts = []
    for places, labels, logits in reader.parts(block):
        found, suggestions = judge.score(labels, logits, reader.others(places))
        columns = {"place": places, **found}
        if suggestions:
            columns |= {SUGGESTED: suggestions[0], SUGGESTED_P: suggestions[1]}
        parts.append(pa.table({name: pa.array(values) for name, values in columns.items()}))
    return pa.concat_tables(parts) if parts else pa.table({"place": pa.array([], pa.int64())})


class _Scoring:
    """Scores the stored predictions of a run."""

    def __init__(
        self,
        run: Run,
        judge: Judge,
        ids: np.ndarray,
        labels: np.ndarray,
        task: Task,
        witness: np.ndarray | None,
    ) -> None:
        import ray

        self.judge, self.samples, self.task = judge, len(ids), task
        shared = None if witness is None else ray.put(witness)
        self.reader = Reader(*run.logits_location(), len(run.classes), shared)
        stored = run.predicted_ids()
        places, known = find(ids, stored)
        self.rows = {
            "row": np.arange(len(stored)),
            "before": np.cumsum(known) - known,
            "place": np.where(known, places, -1),
            "label": np.where(known, labels[places], -1).astype(np.int32),
        }
        passes = 2 if judge.reads_twice else 1
        self.stage = task.stage("scoring", passes * len(stored))
        self.coordinator = new_coordinator()

    def run(self) -> tuple[dict[str, np.ndarray], Suggestions | None, SelfTest | None]:
        return run_watched(self._work, self.coordinator, lambda *_: None, self.task, "scoring")

    def _work(self) -> tuple[dict[str, np.ndarray], Suggestions | None, SelfTest | None]:
        if self.judge.reads_twice:
            for batch in self._map_blocks(look, "numpy"):
                for one in batch["judge"]:
                    self.judge.merge(one)
                self.stage.advance(int(batch["rows"].sum()))
        self.judge.fit()
        scored = ScoreArrays(self.judge, self.samples)
        for block in self._map_blocks(score, "pyarrow"):
            _put(scored, block)
            self.stage.advance(len(block))
        return scored.scores, scored.suggestions, self.judge.self_test

    def _map_blocks(self, work, batch_format: str) -> Iterator:
        """Yield the results of `work` on all blocks in order. batch_format: of Ray."""
        total = len(self.rows["row"])
        if not total:
            return
        # a multiple of the part size of a single process, so that sums are the same
        unit = max(BLOCK // self.reader.classes, 1)
        most = max(LOGIT_BATCH_BYTES // (4 * self.reader.classes), 1)
        rows = max(min(total // (BLOCKS_PER_WORKER * worker_count()), most), LEAST_ROWS)
        rows = max(rows // unit, 1) * unit if rows > unit else rows
        arguments, options = (self.reader, self.judge), worker_options("cpu")
        results = map_blocks(self.rows, rows, work, fn_args=arguments, **options)
        yield from results.iter_batches(
            batch_size=None, batch_format=batch_format, prefetch_batches=1
        )


def _put(scored: ScoreArrays, block: pa.Table) -> None:
    columns = {name: block[name].to_numpy() for name in block.column_names}
    places = columns.pop("place")
    suggestions = None
    if SUGGESTED in columns:
        suggestions = columns.pop(SUGGESTED), columns.pop(SUGGESTED_P)
    scored.put(places, columns, suggestions)
