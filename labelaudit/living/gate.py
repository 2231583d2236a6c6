"""The gate: whether a pipeline may use a dataset, by the share of its labels that are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from .. import __version__
from ..core.errors import BadInputError
from ..dataset.arrays import MISSING
from ..dataset.state_fingerprint import dataset_fingerprint
from ..dataset.target import Target, as_dataset
from ..export.provenance import CHECK, KEY, record
from ..patch.sample_paths import relative_paths
from ..ranking.ranking import confidence_note, weakness
from ..review.opinions import OUT
from .accepted import AcceptedImage, match_accepted
from .current_errors import CurrentErrors, JudgedRun

PASSED, FAILED, UNDECIDED = "passed", "failed", "undecided"
ALL = "all samples"
WORST = 20  # listed images
LISTED = 0.5  # suspicion above which an image is listed
CONFIDENCES = 0.5, 0.99
FEW_REVIEWED = 60  # decided labels, below which a review is the first advice


@dataclass(frozen=True)
class WorstImage:
    """An image whose label is probably wrong."""

    id: int
    path: str | None  # below the common folder of the images; None if it cannot be printed
    label: str
    suggested: str | None
    suspicion: float | None  # None for a label that a reviewer found wrong, if it has none


@dataclass(frozen=True)
class GateResult:
    """The answer of the gate. status: "passed", "failed" or "undecided"."""

    dataset: str
    run: str
    status: str
    why: str  # one sentence
    errors: CurrentErrors
    max_wrong: float  # 0 to 1
    confidence: float
    part: str  # what was checked, in words
    accepted: int
    stale: list[tuple[str, str]]  # accepted lines that do not count, and why
    worst: list[WorstImage]
    fingerprint: str | None  # of images and labels, see `verify`
    notes: list[str] = field(default_factory=list)
    version: str = __version__

    @property
    def passed(self) -> bool:
        """Whether the share of wrong labels is at most `max_wrong`."""
        return self.status == PASSED

    def to_dict(self) -> dict:
        """Return plain JSON values."""
        errors = self.errors
        shares = {name: errors.share(getattr(errors, name)) for name in ("wrong", "low", "high")}
        return {**asdict(self), "share": shares, KEY: self.origin}

    @property
    def origin(self) -> dict:
        """What was checked, for `verify`, as JSON values."""
        names = ("max_wrong", "confidence", "part")
        settings = {name: getattr(self, name) for name in names}
        return record(CHECK, self.dataset, self.fingerprint, self.run, settings)


def check_labels(
    dataset: Target,
    max_wrong: float,
    *,
    run: str | None = None,
    confidence: float = 0.95,
    tag: str | None = None,
    split: str | None = None,
    accepted: Sequence[AcceptedImage] = (),
) -> GateResult:
    """Decide whether at most a share `max_wrong` of the labels is wrong.

    The whole interval decides: "passed" if its upper end is at most `max_wrong`, "failed" if its
    lower end is above it, else "undecided". Corrected and removed samples do not count as wrong;
    labels that nobody has judged may be wrong. run: by default the latest with predictions.
    confidence: of the interval, 0.5 to 0.99. tag, split: check only these samples. accepted: lines
    of `read_accepted`, which count as right labels.
    Raises BadInputError for a number out of range and if there are no labels to check, and
    NotFoundError for a run without suspicion.
    """
    dataset = as_dataset(dataset, "check_labels")
    if not 0 <= max_wrong < 1:
        raise BadInputError(f"max_wrong={max_wrong!r}: give a share from 0 to below 1 (0% to 99%).")
    if not CONFIDENCES[0] <= confidence <= CONFIDENCES[1]:
        raise BadInputError(f"confidence={confidence!r}: give a number from 0.5 to 0.99.")
    with dataset.steady():
        frame = dataset.view().frame
        matched = match_accepted(frame, accepted)
        judged = JudgedRun(dataset, run, matched.ids)
        part, words = _part(judged, tag, split)
        errors = judged.errors(part, confidence)
        if not errors.labels:
            where = "" if words == ALL else f" in {words}"
            raise BadInputError(f"dataset {dataset.name!r} has no labels to check{where}.")
        view = judged.view
        problem = weakness(view)
        status = UNDECIDED if problem else _status(errors, max_wrong)
        notes = [judged.test.warning if judged.test else None, confidence_note(view)]
        return GateResult(
            dataset=dataset.name,
            run=str(view.run),
            status=status,
            why=_why(status, errors, max_wrong, confidence, words, problem),
            errors=errors,
            max_wrong=max_wrong,
            confidence=confidence,
            part=words,
            accepted=int(part[frame.positions(matched.ids)].sum()),
            stale=matched.stale,
            worst=_worst(judged, part),
            fingerprint=dataset_fingerprint(frame),
            notes=[note for note in notes if note and note != problem],
        )


def _part(judged: JudgedRun, tag: str | None, split: str | None) -> tuple[np.ndarray, str]:
    """Return a mask of the samples to check, bool (n,), and what they are in words."""
    view = judged.view.match(split=split)
    view = view if tag is None else view.match_tag(tag)
    part = np.zeros(len(judged.frame.ids), bool)
    part[view.positions()] = True
    words = [] if tag is None else [f"samples with the tag {tag!r}"]
    words += [] if split is None else [f"split {split!r}"]
    return part, " in ".join(words) or ALL


def _status(errors: CurrentErrors, max_wrong: float) -> str:
    if errors.share(errors.high) <= max_wrong:
        return PASSED
    return FAILED if errors.share(errors.low) > max_wrong else UNDECIDED


def percent(share: float) -> str:
    """Return a share as a percentage with two digits that matter: 0.05 %, 1.2 %, 12 %."""
    number = 100 * share
    if number >= 10 or number == 0:
        return f"{number:.0f} %"
    return f"{number:.2g} %" if number >= 0.01 else "under 0.01 %"


def unrounded_percent(share: float) -> str:
    """Return a limit as a percentage. Rounded, as by `percent`, it would be another limit."""
    return f"{100 * share:.6g} %"


def _why(
    status: str,
    errors: CurrentErrors,
    max_wrong: float,
    confidence: float,
    words: str,
    problem: str | None,
) -> str:
    if problem:
        return f"Undecided: {problem}"
    low, high = percent(errors.share(errors.low)), percent(errors.share(errors.high))
    found = (
        f"{low} to {high} of the {errors.labels:,} labels are wrong "
        f"({100 * confidence:.6g}% confidence, {words})"
    )
    limit = unrounded_percent(max_wrong)
    if status == PASSED:
        return f"Passed: {found}, and at most {limit} may be."
    if status == FAILED:
        return f"Failed: {found}, and at most {limit} may be."
    advice = _advice(errors, max_wrong)
    return f"Undecided: {found}, and the limit of {limit} lies between. {advice}"


def _advice(errors: CurrentErrors, max_wrong: float) -> str:
    """Say why the data do not decide, and what would."""
    if errors.not_judged and errors.share(errors.high - errors.not_judged) <= max_wrong:
        return (
            f"{errors.not_judged:,} of them were never judged and may all be wrong: run the audit "
            "again."
        )
    if errors.labels * max_wrong < 1:
        return (
            f"With {errors.labels:,} labels, a single wrong one is "
            f"{percent(1 / errors.labels)}: review all suspects, or check more labels at once."
        )
    if errors.reviewed < FEW_REVIEWED:
        return (
            f"Only {errors.reviewed:,} of them are reviewed, which is too few to decide: review "
            "the suspects and random checks."
        )
    return "Review more suspects and random checks, which makes the interval narrower."


def _worst(judged: JudgedRun, part: np.ndarray) -> list[WorstImage]:
    """Return the labels that are wrong by verdict and not yet changed, then the most suspicious."""
    scored, verdicts, frame = judged.scored, judged.verdicts, judged.frame
    here = part & judged.is_label
    found = verdicts.found_at[(here & ~judged.is_corrected)[verdicts.found_at]]
    p = np.where(here & scored.current & ~judged.is_decided, scored.p, np.nan)
    suspects = np.flatnonzero(np.nan_to_num(p) > LISTED)
    suspects = suspects[np.argsort(-p[suspects], kind="stable")]
    at = np.concatenate([found, suspects])[:WORST].astype(np.int64)
    names = np.array([*scored.classes, *scored.others, None], object)
    target = dict(zip(verdicts.found_at.tolist(), verdicts.found_target.tolist(), strict=True))
    paths = relative_paths(frame, at) if len(at) else []
    images = []
    for i, path in zip(at.tolist(), paths, strict=True):
        code = target.get(i, int(scored.suggested[i]))
        images.append(
            WorstImage(
                id=int(frame.ids[i]),
                path=path,
                label=names[frame.label[i]],
                suggested=names[MISSING if code == OUT else code],
                suspicion=float(scored.p[i]) if np.isfinite(scored.p[i]) else None,
            )
        )
    return images
