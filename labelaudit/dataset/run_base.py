"""The common base of all parts of a run: its row, its information and its tables."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..core.errors import NotFoundError
from ..storage import schema
from ..storage.schema import FIRST_LOOK, IMPORTED, UNKNOWN
from .columns import Frame
from .run_files import RunFiles


class RunBase:
    """A run of a dataset, begun or finished."""

    def __init__(self, frame: Frame, run_id: int) -> None:
        self._frame, self._store, self.id = frame, frame.store, run_id
        self._dataset_created = frame.meta["created"]
        self._files = RunFiles(frame.name, self._dataset_created, run_id)

    def __repr__(self) -> str:
        return f"Run({self.name!r} of {self._frame.name!r})"

    @property
    def info(self) -> dict:
        """What was stored at the end of training: name, classes, config, accuracy, curves …

        Raises NotFoundError for a run that is not finished, or was replaced.
        """
        for run in self._frame.runs:
            if run["id"] == self.id:
                return run
        raise NotFoundError(
            f"run {self.id} of dataset {self._frame.name!r} is not finished, or was replaced."
        )

    @property
    def name(self) -> str:
        """Its name, unique among the dataset's finished runs."""
        return self._row(["name"])["name"]

    @property
    def state(self) -> str:
        """One of schema.BEGUN, FINISHED and GONE (abandoned or replaced)."""
        return self._row(["state"])["state"]

    @property
    def classes(self) -> list[str]:
        """Class names in the order of its logits: those of the dataset, then `unknown_classes`."""
        return self.info["classes"]

    @property
    def unknown_classes(self) -> list[str]:
        """Classes that its model knows and the dataset did not have when they were stored."""
        return self.info.get(UNKNOWN, [])

    @property
    def lacking(self) -> int:
        """How many of its last classes the dataset lacks; 0 once the dataset has one of them."""
        unknown = self.unknown_classes
        return 0 if set(unknown) & set(self._frame.classes) else len(unknown)

    @property
    def is_first_look(self) -> bool:
        """Whether it was computed without training, and has no model."""
        return FIRST_LOOK in self.info

    @property
    def is_imported(self) -> bool:
        """Whether its predictions were imported, so that it has no model here."""
        return IMPORTED in self.info

    @property
    def has_model(self) -> bool:
        """Whether it was trained here, so that its model can predict."""
        return "config" in self.info

    def _table(self, kind: str) -> str:
        return schema.table(kind, self.id)

    def _row(self, columns: list[str]) -> dict:
        rows = self._store.read("runs", ["id", *columns])
        found = rows["id"].to_pylist().index(self.id)
        return rows.slice(found, 1).to_pylist()[0]

    def _transaction(self) -> AbstractContextManager[None]:
        self._check_dataset()
        return self._store.transaction()

    def _check_dataset(self) -> None:
        """Raise NotFoundError if the dataset was deleted or replaced in the meantime."""
        if self._frame.meta["created"] != self._dataset_created:
            raise NotFoundError(
                f"dataset {self._frame.name!r} was replaced during the run: run it again."
            )
