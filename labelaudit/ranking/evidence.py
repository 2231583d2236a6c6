"""The evidence for and against one label: everything a run knows about a sample.

All probabilities are of the noise model if the run has suspicion, so that they agree with each
other and with the suggestion that is stored with the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.errors import NotFoundError
from ..dataset.arrays import MISSING, as_ids
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.fields import Fields
from ..dataset.image_issues import image_issues
from ..dataset.runs import Run
from ..dataset.view import View
from ..features.duplicates import duplicates
from ..scores.probability import best_other_class, probabilities
from ..scores.suspicion import CLEAR, SUSPICION, findings
from ..storage import schema
from ..storage.schema import REMOVED
from .explanation import explain, explain_copies, explain_finding, explain_issues

SHOWN_CLASSES = 5  # the most probable classes
NEIGHBOURS = 8


@dataclass(frozen=True)
class Evidence:
    """The evidence for and against a sample's given label. Labels are class names."""

    id: int
    given: str | None
    suggested: str  # the most probable class other than the given one, as `suggestions` returns it
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
    copies: list[tuple[int, str | None]] = field(default_factory=list)  # exact copies with another
    # label: id, label
    image_issues: list[str] = field(default_factory=list)  # names in features.quality.ISSUES
    suggests_unknown: bool = False  # the dataset has no class `suggested`


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
    view = dataset.view(run_name)
    with view.steady():
        gatherer = _Gatherer(dataset, view, as_ids(ids), shown)
        return [gatherer.evidence(i) for i in range(len(gatherer.ids))]


def suggestions(
    dataset: Dataset, run_name: str, ids: Sequence[int] | np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Return the class that the run suggests for each sample instead of the given one, and the
    probability that it is the true class, float64 (n,).

    They are stored with suspicion. Without one, they are the most probable other class by the
    model, and its softmax probability.
    Raises LabelAuditError for a sample without a prediction.
    """
    run, frame = dataset.run(run_name), dataset.view().frame
    with frame.steady():
        at = frame.positions(as_ids(ids))
        given, fields = frame.label[at], dataset.view(run_name).fields
        codes, p = (values[at] for values in fields.suggestions())
        lacking = codes == MISSING
        codes = np.where(lacking, fields.predictions()[at], codes)
        p = np.where(lacking, fields.number("confidence")[at], p)
        # Logits are needed only if the given class itself is predicted, which is rare for suspects.
        unclear = np.flatnonzero((codes == given) | (codes == MISSING))
        if len(unclear):
            softmax = _probabilities(fields, run, at[unclear])
            codes[unclear] = best_other_class(softmax, given[unclear])
            p[unclear] = softmax[np.arange(len(unclear)), codes[unclear]]
    return [fields.classes[code] for code in codes], p


def suggested_labels(dataset: Dataset, run_name: str, ids: Sequence[int] | np.ndarray) -> list[str]:
    """Return only the classes of `suggestions`."""
    return suggestions(dataset, run_name, ids)[0]


def suggestion_is_clear(p: float | None) -> bool:
    """Return whether a suggestion with this probability may be offered as the default answer."""
    return p is not None and p >= CLEAR


class _Gatherer:
    """Reads the evidence for some samples at once. Arrays (n,) are aligned to `ids`."""

    def __init__(
        self, dataset: Dataset, view: View, ids: np.ndarray, shown: Mapping[int, str] | None
    ) -> None:
        run = dataset.run(view.run)
        frame, at = view.frame, view.frame.positions(ids)
        self.ids, self.at, self.frame = ids, at, frame
        self.classes = view.fields.classes
        self.given = _presented_labels(frame, ids, at, shown or {})
        self.p = _probabilities(view.fields, run, at)
        self.suggested = best_other_class(self.p, self.given)
        stored, suggested_p = (values[at] for values in view.fields.suggestions())
        known = (stored != MISSING) & (self.given == frame.label[at])
        self.suggested = np.where(known, stored, self.suggested)
        self.near = run.neighbours(ids, NEIGHBOURS)
        self.curves = run.class_curves()
        self.dynamics = run.dynamics_of(ids) if shown is None else None
        names = view.score_names() if shown is None else []
        self.scores = {name: view.fields.number(name)[at] for name in names}
        self.percentiles = {
            name: _percentiles(view, name, values) for name, values in self.scores.items()
        }
        self.p_wrong = self.scores.get(SUSPICION, np.full(len(ids), np.nan))
        if shown is None:  # otherwise they would tell controls from the other samples
            self.p = _posterior(self.p, self.given, self.suggested, self.p_wrong, suggested_p)
        self.suggested_p = self.p[np.arange(len(ids)), self.suggested]
        masks = view.fields.finding_masks(at)
        self.findings = findings(self.p_wrong, self.suggested_p, *masks)
        self.duplicates = duplicates(dataset)
        self.image_issues = image_issues(frame)

    def evidence(self, i: int) -> Evidence:
        given, suggested = self._name(self.given[i]), self._name(self.suggested[i])
        shown = _shown_classes(self.p[i], self.given[i], self.suggested[i])
        best = {self._name(code): float(self.p[i, code]) for code in shown}
        recorded = self._is_recorded(i)
        p_given = _rounded(self.dynamics.p_label[:, i]) if recorded else None
        neighbours, copies = self._neighbours(i), self._copies(i)
        issues = [name for name, mask in self.image_issues.items() if mask[self.at[i]]]
        finding, suggested_p = str(self.findings[i]), float(self.suggested_p[i])
        sentences = [
            explain_finding(finding, self.p_wrong[i], given, suggested, suggested_p),
            explain_copies(copies),
            explain(given, suggested, None if finding else best, p_given, neighbours),
            explain_issues(issues),
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
            suggested_p=suggested_p,
            copies=copies,
            image_issues=issues,
            suggests_unknown=suggested not in self.frame.classes,
        )

    def _name(self, code: int) -> str | None:
        return None if code == MISSING else self.classes[code]

    def _is_recorded(self, i: int) -> bool:
        """Whether training dynamics were recorded for the label that the sample has now."""
        return self.dynamics is not None and self.dynamics.labels[i] == self.given[i] != MISSING

    def _curve(self, code: int) -> list[float | None] | None:
        if self.curves is None or not 0 <= code < self.curves.shape[1]:
            return None
        return _rounded(self.curves[:, code])

    def _copies(self, i: int) -> list[tuple[int, str | None]]:
        """Return the exact copies that have another label than the presented one, id and label."""
        if self.duplicates is None or self.given[i] == MISSING:
            return []
        ids = self.duplicates.copies_of(int(self.ids[i]))
        at = self.frame.positions(ids)
        labels = self.frame.label[at]
        differ = (labels != MISSING) & (labels != self.given[i]) & ~self.frame.tagged(REMOVED)[at]
        return [
            (int(sample), self._name(code))
            for sample, code in zip(ids[differ], labels[differ], strict=True)
        ]

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


def _probabilities(fields: Fields, run: Run, at: np.ndarray) -> np.ndarray:
    """Return the softmax of the stored logits, float64 (n, D), by the classes of the fields."""
    frame = fields.frame
    rows = frame.take(schema.table("predictions", run.id), at, ["logits"])
    if len(rows) < len(at):
        missing = np.setdiff1d(frame.ids[at], rows["id"].to_numpy())
        raise NotFoundError(
            f"run {run.name!r} has no prediction for {len(missing):,} of these samples (the first: "
            f"{missing[0]}): predict all samples again."
        )
    logits = rows["logits"].combine_chunks().flatten().to_numpy()
    p = probabilities(logits.reshape(len(at), -1))
    if not run.unknown_classes:
        return p
    found = np.zeros((len(at), len(fields.classes)))
    found[:, fields.decoded(np.arange(p.shape[1]))] = p
    return found


def _posterior(
    p: np.ndarray,
    given: np.ndarray,
    suggested: np.ndarray,
    p_wrong: np.ndarray,
    suggested_p: np.ndarray,
) -> np.ndarray:
    """Return the probabilities of the noise model, float64 (n, C); the softmax without suspicion.

    Those of the given and the suggested class are stored. The other classes share the rest in
    proportion to their softmax `p`, and none of them gets more than the suggested class.
    """
    rows = np.flatnonzero(np.isfinite(p_wrong) & np.isfinite(suggested_p) & (given != MISSING))
    known, given, suggested = p[rows], given[rows], suggested[rows]
    p_wrong, suggested_p = p_wrong[rows], suggested_p[rows]
    each = np.arange(len(rows))
    known[each, given] = known[each, suggested] = 0
    rest = np.maximum(p_wrong - suggested_p, 0)
    known *= (rest / np.maximum(known.sum(axis=1), 1e-300))[:, None]
    known = np.minimum(known, suggested_p[:, None])
    known[each, given], known[each, suggested] = 1 - p_wrong, suggested_p
    posterior = p.copy()
    posterior[rows] = known
    return posterior


def _shown_classes(p: np.ndarray, given: int, suggested: int) -> list[int]:
    """Return the most probable classes, best first, including the given and the suggested one."""
    best = np.argsort(-p, kind="stable").tolist()
    always = {code for code in (int(given), int(suggested)) if 0 <= code < len(p)}
    others = [code for code in best if code not in always][: max(SHOWN_CLASSES - len(always), 0)]
    return sorted(always | set(others), key=best.index)


def _percentiles(view: View, name: str, values: np.ndarray) -> np.ndarray:
    """Return the percentage of the scored samples with a lower score, (n,); NaN without one."""
    fields = view.fields

    def load() -> np.ndarray:
        known = fields.number(name)
        return np.sort(known[np.isfinite(known)])

    ranked = fields.derived(("ranked", view.run, name), load)
    share = np.searchsorted(ranked, values) / max(len(ranked), 1) * 100
    return np.where(np.isfinite(values), share, np.nan)


def _finite(columns: Mapping[str, np.ndarray], i: int) -> dict[str, float]:
    """Return the values of one sample by name, without NaN."""
    return {name: float(values[i]) for name, values in columns.items() if np.isfinite(values[i])}


def _rounded(values: np.ndarray) -> list[float | None]:
    """Return the points of a curve to three digits; None for NaN."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]
