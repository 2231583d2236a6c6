"""The estimate in words: how many labels are wrong, and whether to go on reviewing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.plural import counted, verb
from .proof import CLEAN, ENOUGH, LEAST_CHECKS, Proof

if TYPE_CHECKING:
    from .estimate import Estimate

SHARE = f"{ENOUGH:.0%}"
CLEAN_SHARE = f"{CLEAN:.0%}"
SURE = "with 95% confidence"


def headline(found: Estimate) -> str:
    """Return the number that every page shows."""
    be = verb(round(found.wrong), *(("was", "were") if found.corrected else ("is", "are")))
    return (
        f"About {found.wrong:,.0f} ({found.low:,.0f} to {found.high:,.0f}) of {found.samples:,} "
        f"labels {be} wrong; {found.found:,} found"
        f"{f', {found.corrected:,} corrected' if found.corrected else ''}."
    )


def advice(found: Estimate) -> tuple[bool, str]:
    """Return whether to stop, and what to do.

    One can stop if ENOUGH of the wrong labels are found for certain, or at most CLEAN of all labels
    are wrong. It needs LEAST_CHECKS random checks.
    """
    proof = found.proof
    if not proof.open:
        return True, "All samples are decided."
    checks = f"{SURE} ({proof.checks:,} random checks)"
    if proof.is_enough and not proof.kept_suspects:
        return True, f"You can stop: {SHARE} of the wrong labels are found, {checks}."
    if proof.is_clean and found.high <= proof.few and not proof.kept_suspects:
        most = f"{proof.few:,} of {proof.samples:,} labels ({CLEAN_SHARE})"
        return True, f"You can stop: at most {most} are wrong, {checks}."
    return False, " ".join(filter(None, [_next_step(proof), _so_far(proof)]))


def _next_step(proof: Proof) -> str:
    if proof.skipped:
        return (
            "A random check is still open (you skipped it, or it is in another reviewer's share): "
            "those after it do not count yet."
        )
    if proof.kept_suspects:
        claimed, kept = proof.kept_suspects
        return (
            f"{kept:,} of {counted(claimed, 'label')} that suspicion calls wrong "
            f"{verb(kept, 'was', 'were')} kept: either the run or the review is mistaken. Switch "
            "on blind controls to see which."
        )
    if proof.likely:
        return f"Continue: {counted(proof.suspects, 'suspect')} left, mixed with random checks."
    if not proof.enough_checks:
        missing = min(LEAST_CHECKS - proof.checks, proof.open)
        checks = counted(missing, "more random check", "is needed", "are needed")
        return f"Continue: at least {checks} for a conclusion."
    if proof.errors.most_missed:
        given = proof.errors.controls
        return (
            f"{SHARE} cannot be shown: {given.missed:,} of {counted(given.bad, 'wrong label')} in "
            f"blind controls {verb(given.missed, 'was', 'were')} missed. A second reviewer may "
            "find more."
        )
    if proof.errors.most_alarms > 1 - ENOUGH:
        given = proof.errors.controls
        return (
            f"{SHARE} cannot be shown: {given.false_alarms:,} of "
            f"{counted(given.good, 'right label')} in blind controls "
            f"{verb(given.false_alarms, 'was', 'were')} called wrong."
        )
    goals = [
        (proof.needed, f"{SHARE} of the wrong labels are found"),
        (proof.needed_if_clean, f"at most {CLEAN_SHARE} of the labels are wrong"),
    ]
    possible = [(checks, goal) for checks, goal in goals if checks is not None]
    if not possible:
        return (
            f"Showing that {SHARE} of the wrong labels are found takes a review of most samples: "
            "stop when the range is narrow enough for you."
        )
    checks, goal = min(possible)
    return f"Continue: if {_rounded(checks)} more random checks find no wrong label, {goal}."


def _so_far(proof: Proof) -> str:
    if not proof.enough_checks:
        least = min(LEAST_CHECKS, proof.checks + proof.open)
        return f"Random checks so far: {proof.checks:,} of at least {least:,}."
    if not proof.found or proof.share < 0.5:
        return ""
    return f"So far, {SURE}: at least {int(100 * proof.share)}% of the wrong labels are found."


def explanation(found: Estimate) -> list[str]:
    """Return sentences on what the number is made of."""
    proof = found.proof
    lines = (
        _reviewed(found)
        if found.reviewed
        else [
            f"Nothing is reviewed yet: the number follows from suspicion alone, for all "
            f"{counted(found.samples, 'sample')}. Verdicts, above all on random checks, correct it."
        ]
    )
    if proof.enough_checks and proof.drawn:
        lines.append(
            f"{proof.hits:,} of {counted(proof.drawn, 'random check')} outside the suspects found "
            f"a wrong label. Whatever suspicion says, at most "
            f"{counted(proof.most, 'label', 'is', 'are')} wrong, {SURE}. This bound holds at any "
            "time of the review; the range follows from suspicion and the verdicts, too."
        )
    if found.certain:
        lines.append(
            f"{counted(found.certain, 'label')} that nobody has reviewed "
            f"{verb(found.certain)} certainly wrong: exact copies of an image "
            "have different labels."
        )
    if found.missing:
        lines.append(
            f"Not counted: {counted(found.missing, 'labelled sample')} without a suspicion, "
            "because the run has no prediction for "
            f"{verb(found.missing, 'it or cannot judge its', 'them or cannot judge their')} class."
        )
    lines.append(_on_reviewers(proof))
    if len(found.undecided):
        lines.append(
            f"{counted(len(found.undecided), 'sample')} without a decision (unsure, or reviewers "
            f"disagree) {verb(len(found.undecided), 'counts', 'count')} as not reviewed; what the "
            f"checks show does not cover {verb(len(found.undecided), 'it', 'them')}."
        )
    if found.self_test:
        lines.append(found.self_test.sentence)
    return lines


def _reviewed(found: Estimate) -> list[str]:
    chosen = found.reviewed - found.checks
    return [
        f"Reviewed: {found.reviewed:,} of {counted(found.samples, 'sample')}, with "
        f"{counted(found.found, 'wrong label')}. Of these samples, {found.checks:,} "
        f"{verb(found.checks, 'was', 'were')} drawn at random and {chosen:,} "
        f"{verb(chosen, 'was', 'were')} chosen.",
        f"Not reviewed: {counted(found.open, 'sample')} with about "
        f"{counted(round(found.left), 'wrong label')}. "
        "Their number follows from suspicion, corrected by the verdicts on samples of like "
        "suspicion.",
    ]


def _on_reviewers(proof: Proof) -> str:
    given = proof.errors.controls
    if not given.total:
        return "Reviewers are assumed to make no mistakes, until blind controls measure them."
    return (
        f"Mistakes of reviewers are allowed for: in blind controls, {given.missed:,} of "
        f"{counted(given.bad, 'wrong label')} {verb(given.missed, 'was', 'were')} missed, and "
        f"{given.false_alarms:,} of {given.good:,} right ones called wrong."
    )


def _rounded(number: int) -> str:
    """Return the number rounded up, so that it does not change with every verdict."""
    number = max(number, 1)
    step = 10 if number <= 100 else 50 if number <= 1000 else 500
    return f"about {-(-number // step) * step:,}"
