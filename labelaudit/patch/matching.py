"""Find the samples that a patch is about: by path, by pixels, or by id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..features.fingerprints import pixel_hashes
from .patch_file import Change
from .sample_paths import find_files, pixel_hash_numbers

PATH, PIXELS, ID = "path", "pixels", "id"  # how a sample was found
TRUSTED = (PATH, ID)  # what a caller may accept without comparing pixels
NOT_FOUND = -1  # id of a sample that was not found

NO_SAMPLE = "not found"
OTHER_IMAGE = "another image is there"
AMBIGUOUS = "several samples match"


class Matches:
    """The sample that each change is about.

    sample: ids, int64 (n,), NOT_FOUND if there is none. how: PATH, PIXELS or ID, as objects (n,).
    why: the reason if no sample was found, as objects (n,). unread: ids of images without a pixel
    hash that may change the result.
    """

    def __init__(self, frame: Frame, changes: list[Change], trust: Sequence[str]) -> None:
        n = len(changes)
        self.sample = np.full(n, NOT_FOUND, np.int64)
        self.how = np.full(n, "", object)
        self.why = np.full(n, NO_SAMPLE, object)
        self._hashed_ids, self._hashes = pixel_hashes(frame)
        wanted = pixel_hash_numbers([change.pixels for change in changes])
        has_pixels = np.array([change.pixels is not None for change in changes], bool)
        to_compare = self._match_paths(frame, changes, wanted, has_pixels & (PATH not in trust))
        self._match_pixels(wanted, has_pixels)
        if ID in trust:
            self._match_ids(frame, changes)
        missing = (self.sample == NOT_FOUND) & has_pixels
        unhashed = frame.ids[~find(self._hashed_ids, frame.ids)[1]]
        self.unread = unhashed if missing.any() else np.intersect1d(to_compare, unhashed)

    def _match_paths(
        self, frame: Frame, changes: list[Change], wanted: np.ndarray, compare: np.ndarray
    ) -> np.ndarray:
        """Match by path. compare: mask of the changes for which pixels must be equal too.

        Returns the ids of the samples whose pixels must be compared.
        """
        ids_by_file = find_files(frame, [c.file for c in changes if c.file is not None])
        to_compare = []
        for i, change in enumerate(changes):
            ids = ids_by_file.get(change.file, [])
            if len(ids) > 1:
                self.why[i] = AMBIGUOUS
            elif ids:
                self.sample[i], self.how[i] = ids[0], PATH
                to_compare += ids if compare[i] else []
        at, is_hashed = find(self._hashed_ids, self.sample)
        differs = compare & is_hashed & (self.sample != NOT_FOUND)
        differs[differs] &= self._hashes[at[differs]] != wanted[differs]
        self.sample[differs], self.how[differs], self.why[differs] = NOT_FOUND, "", OTHER_IMAGE
        return np.array(to_compare, np.int64)

    def _match_pixels(self, wanted: np.ndarray, has_pixels: np.ndarray) -> None:
        """Match the remaining changes by pixels, among samples that no change matched by path."""
        free = np.isin(self._hashed_ids, self.sample, invert=True)
        ids, hashes = self._hashed_ids[free], self._hashes[free]
        order = np.argsort(hashes, kind="stable")
        low = np.searchsorted(hashes, wanted, "left", sorter=order)
        high = np.searchsorted(hashes, wanted, "right", sorter=order)
        missing = (self.sample == NOT_FOUND) & has_pixels
        single = missing & (high - low == 1)
        self.sample[single], self.how[single] = ids[order[low[single]]], PIXELS
        self.why[missing & (high - low > 1)] = AMBIGUOUS

    def _match_ids(self, frame: Frame, changes: list[Change]) -> None:
        ids = np.array([NOT_FOUND if c.id is None else c.id for c in changes], np.int64)
        matched = (self.sample == NOT_FOUND) & find(frame.ids, ids)[1]
        self.sample[matched], self.how[matched] = ids[matched], ID
