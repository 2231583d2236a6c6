"""Why a sample is a suspect: all that a run knows of it, for a person who has to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import LabelAuditError
from ..dataset.arrays import MISSING, as_ids
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..scores.probability import probabilities
from ..scores.suspicion import AMBIGUOUS, FITTING, MISLABELLED, SUSPICION, findings
from ..storage import schema

SHOWN_CLASSES = 5  # most probable ones
NEIGHBOURS = 8


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a sample's given label. Labels are class names."""

    id: int
    given: str | None
    suggested: str  # the most probable class other than the given one
    probabilities: dict[str, float]  # the most probable classes, and the given one, best first
    p_given: list[float] | None  # p(given class) by epoch; None where it was not watched
    median_given: list[float] | None  # … of the median sample of the given class
    median_suggested: list[float] | None  # … of the median sample of the suggested class
    neighbours: list[tuple[int, str | None, float]]  # id, label, cosine similarity; nearest first
    scores: dict[str, float]
    percentiles: dict[str, float]  # share of the samples, in %, that are less suspicious
    why: str  # a sentence or two
    finding: str = ""  # a word of scores.suspicion.FINDINGS; "" for a run without suspicion
    suggested_p: float | None = None  # probability that `suggested` is the true class


def gather(
    dataset: Dataset,
    run_name: str,
    ids: Sequence[int] | np.ndarray,
    shown: Mapping[int, str] | None = None,
) -> list[Evidence]:
    """The evidence of some samples that this run has predicted, in the order of their ids.

    Costs a few reads however many samples there are: made for a handful at a time. shown: labels
    that stand in for those of some samples (it may be empty); then all is left out, of every
    sample, that would tell which ones: training and scores, which know the real labels.
    """
    ids = as_ids(ids)
    run, frame = dataset.run(run_name), dataset.view().frame
    with frame.steady():
        return _gather(frame, run, dataset.view(run_name), ids, shown)


def suggestions(p: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The most probable class other than the given one, int (n,). p: float (n, C)."""
    others = p.copy()
    known = np.flatnonzero((given >= 0) & (given < p.shape[1]))
    others[known, given[known]] = -1
    return others.argmax(axis=1)


def suggested_labels(dataset: Dataset, run_name: str, ids: np.ndarray) -> list[str]:
    """The class that the run suggests for each of these samples instead of the given one."""
    run, frame = dataset.run(run_name), dataset.view().frame
    with frame.steady():
        at = frame.positions(ids)
        given, fields = frame.label[at], dataset.view(run_name).fields
        codes = fields.suggestions()[0][at]
        codes = np.where(codes == MISSING, fields.predictions()[at], codes)
        # few: a suspect is mostly predicted otherwise; of one that is not predicted it is an error
        same = np.flatnonzero((codes == given) | (codes == MISSING))
        if len(same):
            codes[same] = suggestions(_probabilities(frame, run, at[same]), given[same])
    return [run.classes[code] for code in codes]


def _gather(
    frame: Frame, run: Run, view, ids: np.ndarray, shown: Mapping[int, str] | None
) -> list[Evidence]:
    classes, at = frame.classes, frame.positions(ids)
    given = frame.label[at]
    if shown:
        inside = np.array([sample in shown for sample in ids.tolist()])
        given[inside] = frame.class_codes([shown[sample] for sample in ids[inside].tolist()])
    p = _probabilities(frame, run, at)
    suggested = suggestions(p, given)
    codes, likely = (values[at] for values in view.fields.suggestions())
    if shown is None:
        suggested = np.where(codes == MISSING, suggested, codes)
    near = run.neighbours(ids, NEIGHBOURS)
    curves = run.class_curves()
    dynamics = run.dynamics_of(ids) if shown is None else None
    names = view.score_names() if shown is None else []
    scores = {name: view.fields.number(name)[at] for name in names}
    ranks = {name: _percentiles(view, name, values) for name, values in scores.items()}
    wrong = scores.get(SUSPICION, np.full(len(ids), np.nan))
    finding = findings(wrong, likely)

    def name(code: int) -> str | None:
        return None if code == MISSING else classes[code]

    def curve(code: int) -> list[float] | None:
        known = curves is not None and 0 <= code < curves.shape[1]
        return _rounded(curves[:, code]) if known else None

    found = []
    for i, sample in enumerate(ids.tolist()):
        watched = dynamics is not None and dynamics.labels[i] == given[i] != MISSING
        neighbours = [] if near is None else _neighbours(frame, near[0][i], near[1][i])
        p_given = _rounded(dynamics.p_label[:, i]) if watched else None
        best = {name(code): float(p[i, code]) for code in _shown(p[i], given[i], suggested[i])}
        found.append(
            Evidence(
                id=sample,
                given=name(given[i]),
                suggested=name(suggested[i]),
                probabilities=best,
                p_given=p_given,
                median_given=curve(given[i]) if watched else None,
                median_suggested=curve(suggested[i]) if watched else None,
                neighbours=neighbours,
                scores={key: float(v[i]) for key, v in scores.items() if np.isfinite(v[i])},
                percentiles={key: float(v[i]) for key, v in ranks.items() if np.isfinite(v[i])},
                why=_verdict(finding[i], wrong[i], name(given[i]), name(suggested[i]), likely[i])
                + explain(name(given[i]), name(suggested[i]), best, p_given, neighbours),
                finding=str(finding[i]),
                suggested_p=float(likely[i]) if finding[i] else None,
            )
        )
    return found


def _verdict(
    finding: str, wrong: float, given: str | None, suggested: str, likely: float
) -> str:  # fmt: skip
    """What suspicion says of a sample, as the first sentence."""
    if not finding:
        return ""
    begin = {MISLABELLED: "Probably mislabelled", AMBIGUOUS: "Ambiguous", FITTING: "Probably right"}
    text = f"{begin[finding]}: {_percent(wrong)} that it is not {given}"
    return text + (f", {_percent(likely)} that it is {suggested}. " if finding != FITTING else ". ")


def explain(
    given: str | None,
    suggested: str,
    p: dict[str, float],
    p_given: list[float] | None,
    neighbours: list[tuple[int, str | None, float]],
) -> str:
    """Why this sample is here, in one sentence."""
    says, other = max(p, key=p.get), p.get(suggested, 0)
    if given is None:
        return f"It has no label; the model says {suggested} ({_percent(other)})."
    if says != given:
        text = f"The model says {says} ({_percent(p[says])}), not {given} "
        text += f"({_percent(p.get(given, 0))})"
    else:
        text = f"The model says {given} too ({_percent(p[given])}), and {suggested} "
        text += f"({_percent(other)})"
    parts = []
    epochs = [value for value in p_given or [] if value is not None]
    if epochs:
        believed = sum(value > 0.5 for value in epochs)
        parts.append(
            f"it believed {given} in {believed} of {len(epochs)} epochs" if believed
            else f"it never believed {given} while it learned"
        )  # fmt: skip
    if neighbours:
        alike = sum(label == suggested for _, label, _ in neighbours)
        own = sum(label == given for _, label, _ in neighbours)
        which, count = (suggested, alike) if alike >= own else (given, own)
        parts.append(f"{count} of the {len(neighbours)} most similar images are labelled {which}")
    return "; ".join([text, *parts]) + "."


def _percent(value: float) -> str:
    if 0 < value < 0.01:
        return "under 1 %"
    return "over 99 %" if 0.99 < value < 1 else f"{value:.0%}".replace("%", " %")


def _probabilities(frame: Frame, run: Run, at: np.ndarray) -> np.ndarray:
    """Softmax of the stored logits, float64 (n, C)."""
    rows = frame.take(schema.table("predictions", run.id), at, ["logits"])
    if len(rows) < len(at):
        lacking = np.setdiff1d(frame.ids[at], rows["id"].to_numpy())
        raise LabelAuditError(
            f"run {run.name!r} has no prediction for {len(lacking):,} of these samples (the first: "
            f"{lacking[0]}): predict again, for all of them."
        )
    logits = rows["logits"].combine_chunks().flatten().to_numpy()
    return probabilities(logits.reshape(len(at), -1))


def _shown(p: np.ndarray, given: int, suggested: int) -> list[int]:
    """The most probable classes, best first, and always the given and the suggested one."""
    best = np.argsort(-p, kind="stable").tolist()
    always = {code for code in (int(given), int(suggested)) if 0 <= code < len(p)}
    others = [code for code in best if code not in always][: max(SHOWN_CLASSES - len(always), 0)]
    return sorted(always | set(others), key=best.index)


def _neighbours(frame: Frame, ids: np.ndarray, similarity: np.ndarray) -> list:
    ids, similarity = ids[ids >= 0], similarity[ids >= 0]
    names = np.array([*frame.classes, None], object)[frame.label[frame.positions(ids)]]
    return list(zip(ids.tolist(), names.tolist(), similarity.tolist(), strict=True))


def _percentiles(view, name: str, values: np.ndarray) -> np.ndarray:
    """Share of the scored samples, in %, whose score is lower. NaN where there is no score."""
    frame, fields = view.frame, view.fields

    def load() -> np.ndarray:
        known = fields.number(name)
        return np.sort(known[np.isfinite(known)])

    ranked = frame.cached(("ranked", view.run, name), fields.stamp(), load)
    share = np.searchsorted(ranked, values) / max(len(ranked), 1) * 100
    return np.where(np.isfinite(values), share, np.nan)


def _rounded(values: np.ndarray) -> list[float]:
    """Numbers for a curve: three digits; None where there is none."""
    return [None if np.isnan(value) else round(float(value), 3) for value in values]
