"""The top suspects of a report, with what became of them."""

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
AT_ONCE = 32  # images held


@dataclass(frozen=True)
class Suspect:
    """One card of the report; labels are class names or "no label"."""

    id: int
    filepath: str
    split: str | None
    image: str | None  # data URI; None where it cannot be read
    small: bool
    given: str  # as the run judged it
    suggested: str | None
    probability: float | None  # of the suggested class
    score: float
    decision: str  # in words
    kind: str  # changed, kept, open, disputed: how it is coloured
    by: str
    planted: str | None  # the right class, of a mistake that was planted


def top_suspects(dataset: Dataset, run: str, score: str, top: int) -> tuple[list[Suspect], int]:
    """The most suspicious samples, and how many suspects there are. Unlike in the queue, those that
    were relabelled or removed since are among them, with the label that the run judged."""
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
        suggested = frame.number(table, "suggested", MISSING)[order]
        chance = frame.number(table, "suggested_p", np.nan)[order]
    else:
        suggested, chance = predicted[order], view.fields.number("confidence")[order]
    decided = _decisions(dataset, order, judged[order])
    names = [*dataset.classes, None]
    ids = frame.ids[order]
    cards: list[Suspect] = []
    for start in range(0, len(ids), AT_ONCE):
        for sample in view.take(ids[start : start + AT_ONCE]):
            i = len(cards)
            image, small = _picture(sample)
            given = names[judged[order[i]]]
            cards.append(
                Suspect(
                    sample.id, sample.filepath, sample.split, image, small, given or "no label",
                    names[suggested[i]], None if np.isnan(chance[i]) else float(chance[i]),
                    float(values[order[i]]), *decided[i],
                    (sample.original_label or "no label") if MISTAKE in sample.tags else None,
                )
            )  # fmt: skip
    return cards, len(at)


def _picture(sample) -> tuple[str | None, bool]:
    try:
        return data_uri(sample.image, THUMBNAIL)
    except LabelAuditError:
        return None, False


def _decisions(dataset: Dataset, at: np.ndarray, judged: np.ndarray) -> list[tuple[str, str, str]]:
    """What was decided of the samples at these positions: in words, of what kind, by whom."""
    frame = dataset.view().frame
    log = verdict_log.read(frame)
    said = opinions(log)
    place, known = find(said.samples, frame.ids[at])
    people: dict[int, set[str]] = {}
    rows = log.current[np.isin(log.sample[log.current], frame.ids[at])]
    for row in rows.tolist():  # also who is unsure
        people.setdefault(int(log.sample[row]), set()).add(log.reviewers[log.reviewer[row]])
    names, gone = [*dataset.classes, None], frame.tagged(REMOVED)[at]
    answers = []
    for i, position in enumerate(at.tolist()):
        now, by = frame.label[position], people.get(int(frame.ids[position]), set())
        target = int(said.target[place[i]]) if known[i] else None
        if gone[i]:
            words, kind = "removed", "changed"
        elif now != judged[i]:
            words, kind = f"relabelled {names[now] or 'no label'}", "changed"
        elif known[i] and not said.agreed[place[i]]:
            words, kind = "reviewers disagree", "disputed"
        elif target is None:
            words, kind = ("unsure", "disputed") if by else ("not reviewed", "open")
        elif target == OUT:
            words, kind = "to be removed", "changed"
        elif target == judged[i]:
            words, kind = "kept", "kept"
        else:
            words, kind = f"to be {names[target]}", "changed"
        answers.append((words, kind, ", ".join(sorted(by))))
    return answers
