"""The columns of the table `annotations`: ids, labels and tags."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Annotations:
    """The table that defines which samples exist. All other columns are aligned to its ids."""

    ids: np.ndarray
    label: np.ndarray
    original_label: np.ndarray
    tags: dict[str, np.ndarray]
    generation: int  # changes when the ids do

    def edited(
        self,
        at: np.ndarray,
        label: np.ndarray,
        original_label: np.ndarray,
        tags: dict[str, np.ndarray],
    ) -> Annotations:
        """Return these with other values at the places `at`, int64 (m,); see `Frame`."""

        def changed(values: np.ndarray, new: np.ndarray) -> np.ndarray:
            if np.array_equal(values[at], new):
                return values
            values = values.copy()
            values[at] = new
            return values

        nowhere = np.zeros(len(self.ids), bool)
        masks = self.tags | {tag: changed(self.tags.get(tag, nowhere), tags[tag]) for tag in tags}
        return replace(
            self,
            label=changed(self.label, label),
            original_label=changed(self.original_label, original_label),
            tags={tag: masks[tag] for tag in sorted(masks) if masks[tag].any()},
        )
