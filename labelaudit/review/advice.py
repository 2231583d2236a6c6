"""The estimate in words: how many labels are wrong, and whether to go on reviewing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .proof import ENOUGH, LEAST_CHECKS, Proof

if TYPE_CHECKING:
    from .estimate import Estimate

SHARE = f"{100 * ENOUGH:.0f} %"
SURE = "with 95 % confidence"


def headline(found: Estimate) -> str:
    """Return the number that every page shows."""
    return (
        f"About {found.wrong:,.0f} ({found.low:,.0f} to {found.high:,.0f}) of {found.samples:,} "
        f"labels {'were' if found.corrected else 'are'} wrong; {found.found:,} found"
        f"{f', {found.corrected:,} corrected' if found.corrected else ''}."
    )


def advice(proof: Proof) -> tuple[bool, str]:
    """Return whether ENOUGH of the wrong labels are found for certain, and what to do.

    The second sentence says what is certain already. It needs LEAST_CHECKS random checks.
    """
    if not proof.open:
        return True, "All samples are decided."
    if proof.is_enough and not proof.kept_suspects:
        checks = f"{proof.checks:,} random checks"
        return True, f"You can stop: {SHARE} of the wrong labels are found, {SURE} ({checks})."
    return False, f"{_next_step(proof)} {_so_far(proof)}"


def _next_step(proof: Proof) -> str:
    if proof.skipped:
        return "Go back to the random check that you skipped: those after it do not count yet."
    if proof.kept_suspects:
        claimed, kept = proof.kept_suspects
        return (
            f"{kept:,} of {claimed:,} labels that suspicion calls wrong were kept: either the run "
            "or the review is mistaken. Switch on blind controls to see which."
        )
    if proof.suspects:
        return f"Continue: {_count(proof.suspects, 'suspect')} left, mixed with random checks."
    if not proof.enough_checks:
        missing = min(LEAST_CHECKS - proof.checks, proof.open)
        return f"Continue: at least {missing:,} more random checks are needed for a conclusion."
    if proof.errors.most_missed:
        given = proof.errors.controls
        return (
            f"{SHARE} cannot be shown: {given.missed:,} of {given.bad:,} wrong labels in blind "
            "controls were missed. A second reviewer may find more."
        )
    if proof.errors.most_alarms > 1 - ENOUGH:
        given = proof.errors.controls
        return (
            f"{SHARE} cannot be shown: {given.false_alarms:,} of {given.good:,} right labels in "
            "blind controls were called wrong."
        )
    if proof.needed is None:
        return f"Showing that {SHARE} of the wrong labels are found takes a review of most samples."
    return (
        f"Continue: if {_rounded(proof.needed)} more random checks find no wrong label, {SHARE} "
        "are found."
    )


def _so_far(proof: Proof) -> str:
    if not proof.enough_checks:
        return f"Random checks so far: {proof.checks:,} of at least {LEAST_CHECKS}."
    certain = f"at most {proof.most:,} of {proof.samples:,} labels are wrong"
    if proof.found and proof.share >= 0.5:
        certain = f"at least {int(100 * proof.share)} % of the wrong labels are found"
    return f"So far, {SURE}: {certain}."


def explanation(found: Estimate) -> list[str]:
    """Return sentences on what the number is made of."""
    proof = found.proof
    lines = (
        _reviewed(found)
        if found.reviewed
        else [
            f"Nothing is reviewed yet: the number follows from suspicion alone, for all "
            f"{found.samples:,} samples. Verdicts, above all on random checks, correct it."
        ]
    )
    if proof.enough_checks and proof.drawn:
        lines.append(
            f"{proof.hits:,} of {_count(proof.drawn, 'random check')} outside the suspects found a "
            f"wrong label. Whatever suspicion says, at most {proof.most:,} labels are wrong, "
            f"{SURE}; this holds at any time of the review."
        )
    lines.append(_on_reviewers(proof))
    if len(found.undecided):
        lines.append(
            f"{_count(len(found.undecided), 'sample')} without a decision (unsure, or reviewers "
            "disagree) count as not reviewed; what the checks show does not cover them."
        )
    if found.self_test:
        lines.append(found.self_test.sentence)
    return lines


def _reviewed(found: Estimate) -> list[str]:
    chosen = found.reviewed - found.checks
    return [
        f"Reviewed: {found.reviewed:,} of {found.samples:,} samples, with "
        f"{_count(found.found, 'wrong label')}. {_count(found.checks, 'sample')} of these were "
        f"drawn at random, {chosen:,} were chosen.",
        f"Not reviewed: {found.open:,} samples with about {found.left:,.0f} wrong labels. Their "
        "number follows from suspicion, corrected by the verdicts on samples of like suspicion.",
    ]


def _on_reviewers(proof: Proof) -> str:
    given = proof.errors.controls
    if not given.total:
        return "Reviewers are assumed to make no mistakes, until blind controls measure them."
    return (
        f"Mistakes of reviewers are allowed for: in blind controls, {given.missed:,} of "
        f"{given.bad:,} wrong labels were missed, and {given.false_alarms:,} of {given.good:,} "
        "right ones called wrong."
    )


def _rounded(number: int) -> str:
    """Return the number rounded up, so that it does not change with every verdict."""
    step = 10 if number <= 100 else 50 if number <= 1000 else 500
    return f"about {-(-number // step) * step:,}"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
