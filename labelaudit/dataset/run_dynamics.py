"""A run's training dynamics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import dynamics
from .arrays import as_ids
from .dynamics import Dynamics
from .run_base import RunBase


class RunDynamics(RunBase):
    """The part of a run that reads and writes its training dynamics."""

    def append_dynamics(
        self,
        epoch: int | np.ndarray,
        ids: np.ndarray,
        labels: np.ndarray,
        *measures: np.ndarray,
        fold: np.ndarray | None = None,
    ) -> None:
        """Store one epoch of these samples, or several in one commit.

        epoch: a number, or int (n,) in ascending order. labels: int (n,), the given classes.
        measures: float32 (n,) each: margin and p(label) by a model trained on the sample and, if
        there is one, by a model not trained on it. NaN is left out. fold: int (n,), the fold with
        the model that was not trained on the sample.

        Raises BadInputError for a finished run with dynamics.
        """
        with self._transaction():
            dynamics.append(self._store, self.id, epoch, ids, labels, measures, fold)

    def folds(self, ids: np.ndarray) -> np.ndarray:
        """Return the fold of each of these sorted ids, int8 (n,): its model was not trained on it.

        dynamics.HELD_OUT if no model was trained on the sample, and EVERYONES if all were.
        """
        return dynamics.folds(self._store, self.id, ids)

    def forget_dynamics_after(self, epoch: int) -> None:
        """Delete the dynamics of later epochs."""
        with self._transaction():
            self._store.delete(self._table("dynamics"), f"epoch > {int(epoch)}")

    def dynamics(self, ids: np.ndarray) -> Dynamics | None:
        """Return the dynamics of these sorted ids, int64 (n,); None for a run without any.

        It reads the whole table: `dynamics_of` is faster for a few samples.
        """
        return dynamics.read(self._store, self.id, ids)

    def dynamics_of(self, ids: Sequence[int] | np.ndarray) -> Dynamics | None:
        """Return the dynamics of a few ids (n,), in their order; None for a run without any."""
        with self._store.steady():
            return dynamics.read_some(self._frame, self.id, as_ids(ids))

    def class_curves(self) -> np.ndarray | None:
        """Return the median p(label) of each given class after each epoch, float32 (epochs, C).

        NaN for a class without samples; None for a run without dynamics.
        """
        curves = self.info.get("class_curves")
        return None if curves is None else np.array(curves, np.float32)

    def learned_labels(self, ids: np.ndarray) -> np.ndarray:
        """Return the classes, int32 (n,), that these sorted ids had in training, or MISSING."""
        return dynamics.learned_labels(self._store, self.id, ids)
