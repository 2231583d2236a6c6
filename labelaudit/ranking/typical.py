"""Typical images of each class, to compare a suspect with."""

from __future__ import annotations

import numpy as np

from ..dataset.arrays import MISSING
from ..dataset.view import View
from ..scores import default_score
from ..storage.schema import REMOVED

COUNT = 4  # of each class
MOST = 200_000  # samples that are looked at; of more, every second, third …


def typical_images(view: View) -> dict[str, list[int]]:
    """Return the ids of at most COUNT typical images of each class.

    They are the least suspicious samples whose given label is predicted; among equals those with
    the most confident prediction. view: all samples of a run with scores. Cached until its
    predictions, scores or labels change.
    """
    with view.steady():
        frame, fields = view.frame, view.fields

        def load() -> dict[str, list[int]]:
            score = fields.number(default_score(view.score_names()))
            fits = (fields.predictions() == frame.label) & (frame.label != MISSING)
            at = np.flatnonzero(fits & np.isfinite(score) & ~frame.tagged(REMOVED))
            at = at[:: len(at) // MOST + 1]
            order = np.lexsort((-fields.number("confidence")[at], score[at], frame.label[at]))
            at = at[order]
            label = frame.label[at]
            rank = np.arange(len(at)) - np.searchsorted(label, label)
            found: dict[str, list[int]] = {}
            for place in at[rank < COUNT]:
                name = frame.classes[frame.label[place]]
                found.setdefault(name, []).append(int(frame.ids[place]))
            return found

        return fields.derived(("typical", view.run), load)
