"""The estimate in words: what was found, what is left, and whether to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .estimate import Estimate

AHEAD = 50  # number of next samples that the advice considers
ENOUGH = 0.95  # share of the wrong labels
LEAST_YIELD = 1.0  # fewer wrong labels in the next AHEAD samples are not worth the time


def sentence(estimate: Estimate, ahead: float, n: int, who: str) -> str:
    """Return the estimate and the expectation for the next samples.

    ahead: expected number of wrong labels in the next n samples. who: "You have", for example.
    """
    numbers = f"({estimate.low:,.0f} to {estimate.high:,.0f})"
    if estimate.found:
        text = (
            f"{who} found {estimate.found:,} of an estimated {estimate.wrong:,.0f} wrong labels "
            f"{numbers}."
        )
    else:
        text = (
            f"An estimated {estimate.wrong:,.0f} {numbers} of {estimate.samples:,} labels are "
            "wrong."
        )
    return f"{text} {_next_samples(n)} expected to contain {_number(ahead)}." if n else text


def advice(
    estimate: Estimate, ahead: float, n: int, least: float, queued: int | None
) -> tuple[bool, str]:
    """Return whether to stop, and a sentence that says why, or how many samples remain.

    ahead: expected number of wrong labels in the next n samples. least: the lowest number that is
    worth reviewing them. queued: samples left in the current queue.
    """
    left = f"about {estimate.left:,.0f} wrong labels are left among {estimate.open:,} samples"
    if not n:
        if not estimate.open:
            return True, "All samples are decided."
        return True, f"This queue is finished; {left}."
    share = f"{100 * ENOUGH:.0f} %"
    more = estimate.until(ENOUGH)
    if estimate.reviewed and not more:
        return True, f"You can stop: {share} of the wrong labels are found; {left}."
    if ahead < least:
        expected = _next_samples(n).lower()
        return True, f"You can stop: {expected} expected to contain {_number(ahead)}; {left}."
    if more > estimate.open / 3:  # the remaining errors are not where suspicion is high
        return False, (
            f"Continue: finding {share} takes {more:,} of the {estimate.open:,} remaining samples."
        )
    text = f"Continue: finding {share} takes about {more:,} more samples"
    if queued is not None and queued < more:
        return False, f"{text}, {queued:,} in this queue and the rest under “All samples”."
    return False, f"{text}."


def _next_samples(n: int) -> str:
    return f"The next {n:,} samples are" if n > 1 else "The next sample is"


def _number(ahead: float) -> str:
    return f"{ahead:,.0f}" if ahead >= 1 else "fewer than one"
