"""Looks up fields by name: columns of a dataset, and of one run's predictions and scores."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import NotFoundError
from ..scores import SCORES
from ..scores.outlier import OUTLIER
from ..scores.suspicion import FINDINGS, SUSPICION, findings, is_suspect
from ..storage import schema
from ..storage.schema import REMOVED, UNKNOWN
from . import own_fields
from .arrays import MISSING, differing
from .columns import Frame

DATASET_FIELDS = ("id", "split", "ground_truth", "original_label", "width", "height")
RUN_FIELDS = ("prediction", "confidence", "suggested", "suggested_p", "finding")
LABEL_FIELDS = {"ground_truth": "label", "label": "label", "original_label": "original_label"}


@dataclass(frozen=True)
class Fields:
    """Arrays over the whole frame, by field name. run: name of a run; None for the latest."""

    frame: Frame
    run: str | None = None

    def run_or_none(self) -> dict | None:
        """Return the run's entry in `Frame.runs`; None if no run has predictions."""
        return self.frame.run_info(self.run) if self.run else self.frame.latest_run()

    def run_info(self) -> dict:
        """Return the run's entry in `Frame.runs`. Raises NotFoundError without predictions."""
        run = self.run_or_none()
        if run is None:
            raise NotFoundError(
                f"dataset {self.frame.name!r} has no predictions yet: take a first look "
                f"(labelaudit.first_look({self.frame.name!r}); command line: labelaudit first-look "
                f"{self.frame.name}), train and predict, or import some."
            )
        return run

    def score_names(self) -> list[str]:
        """Return the scores that the run has; none without a run.

        Stored scores that are no longer registered are left out.
        """
        return [name for name in self._stored_scores() if name in SCORES]

    def _stored_scores(self) -> list[str]:
        run = self.run_or_none()
        if run is None:
            return []
        columns = self.frame.store.columns(schema.table("scores", run["id"]))
        return [name for name in columns if name not in schema.NO_SCORES]

    def coded(self, field: str) -> tuple[np.ndarray, list[str] | None]:
        """Return a column as codes and the names that they index, or as numbers and None."""
        if field in LABEL_FIELDS:
            codes = getattr(self.frame, LABEL_FIELDS[field])
            if field == "original_label":
                codes = np.where(codes == MISSING, self.frame.label, codes)
            return codes, self.frame.classes
        if field in ("prediction", "predicted"):
            return self.predictions(), self.classes
        if field == "split":
            return self.frame.split()
        if own := own_fields.own_fields(self.frame).get(field):
            return own_fields.coded(self.frame, own)
        if field in ("width", "height"):
            side = self.frame.number("samples", field, MISSING)
            return np.where(side == MISSING, np.nan, side), None
        if field == "suggested":
            return self.suggestions()[0], self.classes
        if field == "finding":
            return self.findings()
        if use := _instead_of_dotted(field):
            raise NotFoundError(f"dataset {self.frame.name!r} has no field {field!r}: use {use}.")
        return self.number(field), None

    def number(self, field: str) -> np.ndarray:
        """Return `confidence`, `suggested_p` or a score, float64 (n,); NaN for samples without one.

        A score that judges an earlier label of the sample is NaN too. Raises NotFoundError for
        another name.
        """
        run = self.run_info()
        if field == "confidence":
            return self.frame.number(schema.table("predictions", run["id"]), field, np.nan)
        if field == "suggested_p":
            return self.suggestions()[1]
        names = self._stored_scores()
        if field not in names:
            own = own_fields.own_fields(self.frame)
            known = ", ".join([*DATASET_FIELDS, *own, *RUN_FIELDS, *names])
            raise NotFoundError(
                f"run {run['name']!r} of dataset {self.frame.name!r} has no field {field!r}: "
                f"it has {known}."
            )
        values = self.frame.number(schema.table("scores", run["id"]), field, np.nan)
        if field in SCORES and not SCORES[field].judges_label:
            return values
        outdated = self.outdated()
        return np.where(outdated, np.nan, values) if outdated.any() else values

    def outdated(self) -> np.ndarray:
        """Return a mask, bool (n,), of samples with another label than the run's scores judge."""
        table = schema.table("scores", self.run_info()["id"])

        def load() -> np.ndarray:
            scored = self.frame.number(table, "label", MISSING)
            return (scored != MISSING) & (scored != self.frame.label)

        return self.frame.derived((table, "outdated"), [table, "annotations"], load)

    def unlearned(self) -> np.ndarray:
        """Return a mask, bool (n,), of samples with another label than the model was trained on."""
        table = schema.table("scores", self.run_info()["id"])
        learned = self.frame.number(table, "learned", MISSING)
        return (learned != MISSING) & (learned != self.frame.label)

    def suggestions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the most probable true class other than the given one, int32 (n,), and its
        probability, float64 (n,); MISSING and NaN without a suspicion for the sample's label."""
        table = schema.table("scores", self.run_info()["id"])
        outdated = self.outdated()
        code = self.frame.number(table, "suggested", MISSING)
        p = self.frame.number(table, "suggested_p", np.nan)
        return np.where(outdated, MISSING, self.decoded(code)), np.where(outdated, np.nan, p)

    def predictions(self) -> np.ndarray:
        """Return predicted classes as indices into `classes`, int32 (n,); MISSING for none."""
        table = schema.table("predictions", self.run_info()["id"])
        return self.decoded(self.frame.number(table, "label", MISSING))

    @property
    def classes(self) -> list[str]:
        """What predictions and suggestions index: the classes of the dataset, then those that only
        the run's model knows."""
        run, known = self.run_or_none() or {}, self.frame.classes
        if not run.get(UNKNOWN):
            return known
        return [*known, *(name for name in run[UNKNOWN] if name not in set(known))]

    def class_codes(self, names: Sequence[str]) -> np.ndarray:
        """Return indices into `classes`, int32 (k,). Raises BadInputError for an unknown name."""
        index = {name: code for code, name in enumerate(self.classes)}
        known = [name for name in names if name in index]
        if len(known) < len(names):
            return self.frame.class_codes(names)  # raises the error
        return np.array([index[name] for name in names], np.int32)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """Return indices into `classes` of stored ones, which index the classes of the run."""
        run = self.run_info()
        if not run.get(UNKNOWN) or run["classes"] == self.classes:
            return codes
        index = {name: code for code, name in enumerate(self.classes)}
        return np.array([*(index[name] for name in run["classes"]), MISSING], np.int32)[codes]

    def copy_conflicts(self) -> np.ndarray:
        """Return a mask, bool (n,), of samples with an exact copy that has another label.

        Removed samples do not count. All False if duplicates were not searched for.
        """
        frame = self.frame

        def load() -> np.ndarray:
            copy_of = frame.number("duplicates", "copy_of", MISSING)
            counted = (copy_of != MISSING) & (frame.label != MISSING) & ~frame.tagged(REMOVED)
            at, found = np.flatnonzero(counted), np.zeros(len(frame.ids), bool)
            found[at] = differing(copy_of[at], frame.label[at])
            return found

        return frame.derived("copy conflicts", ["duplicates", "annotations"], load)

    def differs(self, at: np.ndarray) -> np.ndarray:
        """Return a mask, bool (m,), of labelled samples with another class predicted.

        at: positions, int (m,).
        """
        given, predicted = self.frame.label[at], self.predictions()[at]
        return (given != MISSING) & (predicted != MISSING) & (given != predicted)

    def suspects(self, at: np.ndarray) -> np.ndarray:
        """Return a mask, bool (m,), of the suspects by suspicion at these positions; see
        `is_suspect`."""
        return is_suspect(self.number(SUSPICION)[at], self.differs(at))

    def findings(self) -> tuple[np.ndarray, list[str]]:
        """Return codes of the findings, int64 (n,), and their names; MISSING without a suspicion.

        Raises NotFoundError for a run without suspicion.
        """
        suspicion, p = self.number(SUSPICION), self.suggestions()[1]
        names = findings(suspicion, p, *self.finding_masks(np.arange(len(p))))
        index = {name: code for code, name in enumerate(FINDINGS)}
        found, inverse = np.unique(names, return_inverse=True)
        return np.array([index.get(name, MISSING) for name in found])[inverse], [*FINDINGS]

    def finding_masks(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return three masks, bool (m,), of the samples at these positions, for `findings`: those
        with another class predicted, those in a conflict of copies, and outliers."""
        outlier = np.zeros(len(at), bool)
        if OUTLIER in self.score_names():
            outlier = self.number(OUTLIER)[at] > SCORES[OUTLIER].boundary
        return self.differs(at), self.copy_conflicts()[at], outlier

    def stamp(self, own: bool = True) -> tuple:
        """Return a value that differs whenever any of these arrays may differ.

        own: whether values of own fields count too.
        """
        return tuple(self.frame.stamp(table) for table in self._tables(own))

    def derived(self, key: Hashable, load: Callable[[], object], *more: str):
        """Return the result of `load`, which reads these arrays, except own fields, and the tables
        `more`, kept until one of them changes."""
        with self.frame.steady():
            return self.frame.derived(key, [*self._tables(own=False), *more], load)

    def _tables(self, own: bool) -> list[str]:
        """The tables that these arrays are read from. own: also those of own fields."""
        tables = ["meta", "annotations", "samples", "duplicates", "quality"]
        if own:
            tables += [field.table for field in own_fields.own_fields(self.frame).values()]
        if run := self.run_or_none():
            tables += [schema.table(kind, run["id"]) for kind in ("predictions", "scores")]
        return tables


def _instead_of_dotted(field: str) -> str | None:
    """Return what to use instead of a part of a field, as FiftyOne names it; None for another."""
    whole, _, part = field.rpartition(".")
    if part == "label" and whole:
        if whole in LABEL_FIELDS:
            return f"{whole!r}, which is the name of the class"
        return (
            f"{whole!r} for a field of labels, or 'prediction' in dataset.view({whole!r}) of a run"
        )
    if part in ("confidence", "logits") and whole:
        return "'confidence' in dataset.view(run), or sample.prediction"
    return repr(part) if whole == "metadata" else None
