"""The evidence for and against one label: everything a run knows about a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import NotFoundError
from ..dataset.arrays import MISSING, as_ids
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.view import View
from ..scores.probability import best_other_class, probabilities
from ..scores.suspicion import SUSPICION, findings
from ..storage import schema
from .explanation import explain, explain_finding

SHOWN_CLASSES = 5  # the most probable classes
NEIGHBOURS = 8


@dataclass(frozen=True)
class Evidence:
    """The evidence for and against a sample's given label. Labels are class names."""

    id: int
    given: str | None
    suggested: str  # the most probable class other than the given one
    probabilities: dict[str, float]  # of the most probable classes and the given one, best first
    p_given: list[float] | None  # p(given class) by epoch; None if it was not recorded
    median_given: list[float] | None  # the same for the median sample of the given class
    median_suggested: list[float] | None  # the same for the median sample of the suggested class
    neighbours: list[tuple[int, str | None, float]]  # id, label, cosine; most similar first
    scores: dict[str, float]
    percentiles: dict[str, float]  # percentage of the samples that are less suspicious
    why: str  # a sentence or two
    finding: str = ""  # one of scores.suspicion.FINDINGS; "" for a run without suspicion
    suggested_p: float | None = None  # probability that `suggested` is the true class


def gather(
    dataset: Dataset,
    run_name: str,
    ids: Sequence[int] | np.ndarray,
    shown: Mapping[int, str] | None = None,
) -> list[Evidence]:
    """Return the evidence for samples that this run has predicted, in the order of their ids.

    It takes a few reads, however many samples there are; use it for a handful at a time.
    shown: labels to present instead of the given ones, by id, for blind controls; it may be empty.
    Then training dynamics and scores, which are based on the real labels, are left out for all
    samples, so that controls look like the others.
    Raises LabelAuditError for a sample without a prediction.
    """
    run, view = dataset.run(run_name), dataset.view(run_name)
    with view.steady():
        gatherer = _Gatherer(run, view, as_ids(ids), shown)
        return [gatherer.evidence(i) for i in range(len(gatherer.ids))]


def suggested_labels(dataset: Dataset, run_name: str, ids: np.ndarray) -> list[str]:
    """Return the class that the run suggests for each sample instead of the given one.

    Raises LabelAuditError for a sample without a prediction.
    """
    run, frame = dataset.run(run_name), dataset.view().frame
    with frame.steady():
        at = frame.positions(ids)
        given, fields = frame.label[at], dataset.view(run_name).fields
        codes = fields.suggestions()[0][at]
        codes = np.where(codes == MISSING, fields.predictions()[at], codes)
        # Logits are needed only if the given class itself is predicted, which is rare for suspects.
        unclear = np.flatnonzero((codes == given) | (codes == MISSING))
        if len(unclear):
            p = _probabilities(frame, run, at[unclear])
            codes[unclear] = best_other_class(p, given[unclear])
    return [run.classes[code] for code in codes]


class _Gatherer:
    """Reads the evidence for some samples at once. Arrays (n,) are aligned to `ids`."""

    def __init__(
        self, run: Run, view: View, ids: np.ndarray, shown: Mapping[int, str] | None
    ) -> None:
        frame, at = view.frame, view.frame.positions(ids)
        self.ids, self.frame = ids, frame
        self.given = _presented_labels(frame, ids, at, shown or {})
        self.p = _probabilities(frame, run, at)
        self.suggested = best_other_class(self.p, self.given)
        stored, self.suggested_p = (values[at] for values in view.fields.suggestions())
        if shown is None:
            self.suggested = np.where(stored == MISSING, self.suggested, stored)
        self.near = run.neighbours(ids, NEIGHBOURS)
        self.curves = run.class_curves()
        self.dynamics = run.dynamics_of(ids) if shown is None else None
        names = view.score_names() if shown is None else []
        self.scores = {name: view.fields.number(name)[at] for name in names}
        self.percentiles = {
            name: _percentiles(view, name, values) for name, values in self.scores.items()
        }
        self.p_wrong = self.scores.get(SUSPICION, np.full(len(ids), np.nan))
        self.findings = findings(self.p_wrong, self.suggested_p)

    def evidence(self, i: int) -> Evidence:
        given, suggested = self._name(self.given[i]), self._name(self.suggested[i])
        shown = _shown_classes(self.p[i], self.given[i], self.suggested[i])
        best = {self._name(code): float(self.p[i, code]) for code in shown}
        recorded = self._is_recorded(i)
        p_given = _rounded(self.dynamics.p_label[:, i]) if recorded else None
        neighbours = self._neighbours(i)
        finding, suggested_p = str(self.findings[i]), float(self.suggested_p[i])
        sentences = [
            explain_finding(finding, self.p_wrong[i], given, suggested, suggested_p),
            explain(given, suggested, best, p_given, neighbours),
        ]
        return Evidence(
            id=int(self.ids[i]),
            given=given,
            suggested=suggested,
            probabilities=best,
            p_given=p_given,
            median_given=self._curve(self.given[i]) if recorded else None,
            median_suggested=self._curve(self.suggested[i]) if recorded else None,
            neighbours=neighbours,
            scores=_finite(self.scores, i),
            percentiles=_finite(self.percentiles, i),
            why=" ".join(filter(None, sentences)),
            finding=finding,
            suggested_p=suggested_p if finding else None,
        )

    def _name(self, code: int) -> str | None:
        return None if code == MISSING else self.frame.classes[code]

    def _is_recorded(self, i: int) -> bool:
        """Whether training dynamics were recorded for the label that the sample has now."""
        return self.dynamics is not None and self.dynamics.labels[i] == self.given[i] != MISSING

    def _curve(self, code: int) -> list[float | None] | None:
        if self.curves is None or not 0 <= code < self.curves.shape[1]:
            return None
        return _rounded(self.curves[:, code])

    def _neighbours(self, i: int) -> list[tuple[int, str | None, float]]:
        if self.near is None:
            return []
        ids, similarities = (values[i] for values in self.near)
        ids, similarities = ids[ids >= 0], similarities[ids >= 0]
        labels = [self._name(code) for code in self.frame.label[self.frame.positions(ids)]]
        return list(zip(ids.tolist(), labels, similarities.tolist(), strict=True))


def _presented_labels(
    frame: Frame, ids: np.ndarray, at: np.ndarray, shown: Mapping[int, str]
) -> np.ndarray:
    """Return the given labels, int (n,), or those to present instead."""
    labels = frame.label[at]
    if shown:
        replaced = np.array([sample in shown for sample in ids.tolist()])
        labels[replaced] = frame.class_codes([shown[sample] for sample in ids[replaced].tolist()])
    return labels


def _probabilities(frame: Frame, run: Run, at: np.ndarray) -> np.ndarray:
    """Return the softmax of the stored logits, float64 (n, C)."""
    rows = frame.take(schema.table("predictions", run.id), at, ["logits"])
    if len(rows) < len(at):
        missing = np.setdiff1d(frame.ids[at], rows["id"].to_numpy())
        raise NotFoundError(
            f"run {run.name!r} has no prediction for {len(missing):,} of these samples (the first: "
            f"{missing[0]}): predict all samples again."
        )
    logits = rows["logits"].combine_chunks().flatten().to_numpy()
    return probabilities(logits.reshape(len(at), -1))


def _shown_classes(p: np.ndarray, given: int, suggested: int) -> list[int]:
    """Return the most probable classes, best first, including the given and the suggested one."""
    best = np.argsort(-p, kind="stable").tolist()
    always = {code for code in (int(given), int(suggested)) if 0 <= code < len(p)}
    others = [code for code in best if code not in always][: max(SHOWN_CLASSES - len(always), 0)]
    return sorted(always | set(others), key=best.index)


def _percentiles(view: View, name: str, values: np.ndarray) -> np.ndarray:
    """Return the percentage of the scored samples with a lower score, (n,); NaN without one."""
    frame, fields = view.frame, view.fields

    def load() -> np.ndarray:
        known = fields.number(name)
        return np.sort(known[np.isfinite(known)])

    ranked = frame.cached(("ranked", view.run, name), fields.stamp(), load)
    share = np.searchsorted(ranked, values) / max(len(ranked), 1) * 100
    return np.where(np.isfinite(values), share, np.nan)


def _finite(columns: Mapping[str, np.ndarray], i: int) -> dict[str, float]:
    """Return the values of one sample by name, without NaN."""
    return {name: float(values[i]) for name, values in columns.items() if np.isfinite(values[i])}


def _rounded(values: np.ndarray) -> list[float | None]:
    """Return the points of a curve to three digits; None for NaN."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]
