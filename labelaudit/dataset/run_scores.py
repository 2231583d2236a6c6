"""A run's scores."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..scores import SCORES
from ..scores.self_test import SelfTest
from ..storage import schema
from .arrays import MISSING, find, nullable
from .run_checks import check_scores
from .run_dynamics import RunDynamics

SELF_TESTS = "self_tests"


class RunScores(RunDynamics):
    """The part of a run that reads and writes its scores."""

    def score_names(self) -> list[str]:
        """Return the computed scores. Those that are no longer registered are left out."""
        return [name for name in self._stored_scores() if name in SCORES]

    def _stored_scores(self) -> list[str]:
        columns = self._store.columns(self._table("scores"))
        return [name for name in columns if name not in schema.NO_SCORES]

    def write_scores(
        self,
        ids: np.ndarray,
        labels: np.ndarray,
        scores: dict[str, np.ndarray],
        suggestions: tuple[np.ndarray, np.ndarray] | None = None,
        only: np.ndarray | None = None,
    ) -> None:
        """Store scores, float64 (n,), of these ids; NaN means none. Other scores are preserved.

        labels: int (n,), the given classes that they judge. suggestions: the most probable true
        class other than the given one, int (n,), or MISSING, and its probability, float64 (n,);
        None preserves the stored suggestions. only: mask, bool (n,), of the samples that get new
        values; the others keep those that are stored for their label.

        Raises BadInputError for a name that is no score, for another shape, and for values that are
        infinite or, in a score from 0 to 1, outside of that; NotFoundError for an unknown id.
        """
        check_scores(self._frame, ids, labels, scores)
        columns = {name: pa.array(v, pa.float64(), from_pandas=True) for name, v in scores.items()}
        with self._transaction():
            for name in self._stored_scores():
                if name not in scores:
                    columns[name] = self._stored_column(name, ids, labels)
            if suggestions is None:
                suggested = [
                    self._stored_column(name, ids, labels) for name in ("suggested", "suggested_p")
                ]
            else:
                code, p = suggestions
                suggested = [nullable(code), pa.array(p, pa.float64(), from_pandas=True)]
            if only is not None:
                mask = pa.array(only)

                def kept(name: str, new: pa.Array) -> pa.Array:
                    return pc.if_else(mask, new, self._stored_column(name, ids, labels))

                columns = {name: kept(name, column) for name, column in columns.items()}
                names = ("suggested", "suggested_p")
                suggested = [kept(*pair) for pair in zip(names, suggested, strict=True)]
            order = schema.scores(list(columns))
            learned = nullable(self.learned_labels(ids))
            fixed = [pa.array(ids, pa.int64()), nullable(labels), learned, *suggested]
            rows = pa.table([*fixed, *columns.values()], schema=order)
            self._store.overwrite(self._table("scores"), rows, order)

    def write_self_test(self, test: SelfTest | None) -> None:
        """Store the self-test of this run's suspicion, or that there is none."""
        if test is None and self.self_test() is None:
            return
        row = {"id": self.id, "info": json.dumps(test and test.to_dict())}
        with self._transaction():
            rows = pa.Table.from_pylist([row], schema=schema.SELF_TESTS)
            self._store.upsert(SELF_TESTS, rows, schema.SELF_TESTS)

    def self_test(self) -> SelfTest | None:
        """Return the stored self-test; None if there is none."""

        def load() -> SelfTest | None:
            rows = self._frame.read_rows(SELF_TESTS, ["info"], f"id = {int(self.id)}")
            info = json.loads(rows[0]["info"]) if rows else None
            return None if info is None else SelfTest.from_dict(info)

        return self._frame.derived((SELF_TESTS, self.id), [SELF_TESTS], load)

    def _stored_column(self, name: str, ids: np.ndarray, labels: np.ndarray) -> pa.Array:
        """Return a stored column for these ids, null if it judged another label."""
        kind = schema.scores([] if name in schema.NO_SCORES else [name]).field(name).type
        if name not in self._store.columns(self._table("scores")):
            return pa.nulls(len(ids), kind)
        rows = self._store.read(self._table("scores"), ["id", "label", name])
        places, known = find(ids, rows["id"].to_numpy())
        judged = rows["label"].fill_null(MISSING).to_numpy()
        same = known & (judged == labels[places])
        row = np.full(len(ids), -1)
        row[places[same]] = np.flatnonzero(same)
        return rows[name].combine_chunks().take(pa.array(row, mask=row < 0))
