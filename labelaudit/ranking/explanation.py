"""Explains in a sentence or two why a sample is a suspect."""

from __future__ import annotations

from ..scores.suspicion import AMBIGUOUS, BOUNDARY, CONFLICT, FITTING, MISLABELLED, OUTLIER

OPENINGS = {
    MISLABELLED: "Probably mislabelled",
    AMBIGUOUS: "Ambiguous",
    FITTING: "Probably correct",
    CONFLICT: "Duplicate conflict",
    OUTLIER: "Outlier, it looks like no class here",
}
SHOWN_COPIES = 3


def explain_finding(
    finding: str, p_wrong: float, given: str | None, suggested: str, suggested_p: float
) -> str:
    """Return what suspicion says about the label, as a sentence; "" without a finding."""
    if not finding:
        return ""
    if finding == AMBIGUOUS and p_wrong <= BOUNDARY:
        return (
            f"Ambiguous: another class is predicted, but the label {given} is probably correct "
            f"({percent(1 - p_wrong)})."
        )
    text = f"{OPENINGS[finding]}: {percent(p_wrong)} that it is not {given}"
    if finding != FITTING:
        text += f", {percent(suggested_p)} that it is {suggested}"
    return f"{text}."


def explain_copies(copies: list[tuple[int, str | None]]) -> str:
    """Return which exact copies have another label, as a sentence; "" for none.

    copies: id and label of each.
    """
    if not copies:
        return ""
    names = [f"sample {sample} as {label}" for sample, label in copies[:SHOWN_COPIES]]
    more = len(copies) - len(names)
    listed = ", ".join(names) + (f" and {more:,} more" if more else "")
    return f"The same picture is also present with another label: {listed}."


def explain_issues(issues: list[str]) -> str:
    """Return the issues of the image, as a sentence; "" for none."""
    return f"Image quality: {', '.join(issues)}." if issues else ""


def explain(
    given: str | None,
    suggested: str,
    p: dict[str, float] | None,
    p_given: list[float] | None,
    neighbours: list[tuple[int, str | None, float]],
) -> str:
    """Return the model's opinion, its training and the similar images, as one sentence; "" if
    there is nothing to say.

    p: probabilities by class, including the given and the suggested one; None if `explain_finding`
    states them. p_given: p(given class) after each epoch, None where not recorded. neighbours: id,
    label and similarity.
    """
    if given is None:
        return (
            f"It has no label. The model predicts {suggested} "
            f"({percent((p or {}).get(suggested, 0))})."
        )
    parts = [] if p is None else [_prediction(given, suggested, p)]
    epochs = [value for value in p_given or [] if value is not None]
    if epochs:
        parts.append(_training(given, epochs))
    if neighbours:
        parts.append(_similar_images(given, suggested, [label for _, label, _ in neighbours]))
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _prediction(given: str, suggested: str, p: dict[str, float]) -> str:
    predicted = max(p, key=p.get)
    if predicted != given:
        return (
            f"The model predicts {predicted} ({percent(p[predicted])}), not {given} "
            f"({percent(p.get(given, 0))})"
        )
    return (
        f"The model also predicts {given} ({percent(p[given])}), then {suggested} "
        f"({percent(p.get(suggested, 0))})"
    )


def _training(given: str, epochs: list[float]) -> str:
    count = sum(value > 0.5 for value in epochs)
    if not count:
        return f"it never favoured {given} during training"
    return f"it favoured {given} in {count} of {len(epochs)} epochs"


def _similar_images(given: str, suggested: str, labels: list[str | None]) -> str:
    as_suggested, as_given = labels.count(suggested), labels.count(given)
    label, count = (suggested, as_suggested) if as_suggested >= as_given else (given, as_given)
    return f"{count} of the {len(labels)} most similar images are labelled {label}"


def percent(value: float) -> str:
    """Format a share: 0.94 as "94%", 0.004 as "under 1%"."""
    if 0 < value < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < value < 1 else f"{value:.0%}"
