"""The top suspects of the report, with the decisions about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.errors import LabelAuditError
from ..core.images import data_uri
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, find
from ..dataset.dataset import Dataset
from ..review.opinions import OUT, opinions
from ..scores import SCORES
from ..scores.suspicion import SUSPICION
from ..storage import schema
from ..storage.schema import MISTAKE, REMOVED

THUMBNAIL = 128  # pixels a side
BATCH = 32  # images in memory at a time


@dataclass(frozen=True)
class Suspect:
    """One card of the report; labels are class names or "no label"."""

    id: int
    filepath: str
    split: str | None
    image: str | None  # data URI; None if it cannot be read
    small: bool  # whether the image is smaller than the thumbnail
    given: str  # the label that the run judged
    suggested: str | None
    probability: float | None  # of the suggested class
    score: float
    decision: str  # as text
    kind: str  # changed, kept, open, disputed: sets its colour
    by: str
    planted: str | None  # the right class of a planted mistake


def top_suspects(dataset: Dataset, run: str, score: str, top: int) -> tuple[list[Suspect], int]:
    """Return the most suspicious samples, and the number of all suspects.

    Unlike the review queue, this includes samples that were relabelled or removed since, with the
    label that the run judged.
    """
    view = dataset.view(run)
    frame = view.frame
    info = view.fields.run_info()
    table = schema.table("scores", info["id"])
    judged = frame.number(table, "label", MISSING)
    values = frame.number(table, score, np.nan)
    predicted = view.fields.predictions()
    boundary = SCORES[score].boundary
    suspect = np.isfinite(values)
    above = np.nan_to_num(values, nan=-np.inf) > (-np.inf if boundary is None else boundary)
    if score == SUSPICION:
        suspect &= above | (predicted != judged)
    elif boundary is not None:
        suspect &= above
    elif SCORES[score].judges_label:
        suspect &= predicted != judged
    at = suspect.nonzero()[0]
    leads = view.fields.copy_conflicts()[at] & (values[at] >= 0.5) & (score == SUSPICION)
    order = at[np.lexsort((-values[at], ~leads))][:top]
    if SUSPICION in view.score_names():
        suggested = view.fields.decoded(frame.number(table, "suggested", MISSING)[order])
        probability = frame.number(table, "suggested_p", np.nan)[order]
    else:
        suggested, probability = predicted[order], view.fields.number("confidence")[order]
    decisions = _decisions(dataset, order, judged[order])
    names, suggestions = [*dataset.classes, None], [*view.fields.classes, None]
    ids = frame.ids[order]
    cards: list[Suspect] = []
    for start in range(0, len(ids), BATCH):
        for sample in view.samples(ids[start : start + BATCH]):
            i = len(cards)
            image, small = _thumbnail(sample)
            given = names[judged[order[i]]]
            decision, kind, by = decisions[i]
            cards.append(
                Suspect(
                    id=sample.id,
                    filepath=sample.filepath,
                    split=sample.split,
                    image=image,
                    small=small,
                    given=given or "no label",
                    suggested=suggestions[suggested[i]],
                    probability=None if np.isnan(probability[i]) else float(probability[i]),
                    score=float(values[order[i]]),
                    decision=decision,
                    kind=kind,
                    by=by,
                    planted=(sample.original_label or "no label")
                    if MISTAKE in sample.tags
                    else None,
                )
            )
    return cards, len(at)


def _thumbnail(sample) -> tuple[str | None, bool]:
    try:
        return data_uri(sample.image, THUMBNAIL)
    except LabelAuditError:
        return None, False


def _decisions(dataset: Dataset, at: np.ndarray, judged: np.ndarray) -> list[tuple[str, str, str]]:
    """Return (text, kind, reviewers) of the decision about each sample at these positions."""
    frame = dataset.view().frame
    log = verdict_log.read(frame)
    opinion = opinions(log)
    ids = frame.ids[at]
    index, has_opinion = find(opinion.samples, ids)
    reviewers: dict[int, set[str]] = {}
    rows = log.current[np.isin(log.sample[log.current], ids)]
    for row in rows.tolist():  # including reviewers who are unsure
        reviewers.setdefault(int(log.sample[row]), set()).add(log.reviewers[log.reviewer[row]])
    names, removed = [*dataset.classes, None], frame.tagged(REMOVED)[at]
    decisions = []
    for i, position in enumerate(at.tolist()):
        now, by = frame.label[position], reviewers.get(int(ids[i]), set())
        target = int(opinion.target[index[i]]) if has_opinion[i] else None
        if removed[i]:
            text, kind = "removed", "changed"
        elif now != judged[i]:
            text, kind = f"relabelled {names[now] or 'no label'}", "changed"
        elif has_opinion[i] and not opinion.agreed[index[i]]:
            text, kind = "reviewers disagree", "disputed"
        elif target is None:
            text, kind = ("unsure", "disputed") if by else ("not reviewed", "open")
        elif target == OUT:
            text, kind = "to be removed", "changed"
        elif target == judged[i]:
            text, kind = "kept", "kept"
        else:
            text, kind = f"to be {names[target]}", "changed"
        decisions.append((text, kind, ", ".join(sorted(by))))
    return decisions
