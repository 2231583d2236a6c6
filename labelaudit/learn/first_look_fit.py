"""What a first look stores of its fit, so that the images of a later sync need no new one.

The landmarks of the regression are stored as ids, because the dataset stores their features. A
digest of these features tells whether they are still those that were learned from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load, save

from ..scores.cross_fit import FeatureMap
from ..scores.out_of_sample import OthersPredictor

# To be increased whenever a new fit of the same features and labels would predict otherwise, or is
# stored otherwise: earlier ones are then not used.
VERSION = 1


@dataclass(frozen=True)
class StoredFit:
    """A fit that predicts images that it did not learn from.

    landmarks: ids, int64 (L,), sorted. digest: SHA-256 of their features, uint8 (32,). joined:
    joins the features of several extractors.
    """

    landmarks: np.ndarray
    digest: np.ndarray
    joined: FeatureMap
    predictor: OthersPredictor

    def pack(self) -> bytes:
        """Return it in the safetensors format."""
        arrays = {"version": np.array([VERSION]), "landmarks": self.landmarks}
        arrays |= {"digest": self.digest, **vars(self.predictor)}
        for number, mean in enumerate(self.joined.means):
            arrays |= {f"mean {number}": mean, f"scale {number}": self.joined.scales[number]}
        return save({name: np.ascontiguousarray(values) for name, values in arrays.items()})

    @classmethod
    def unpack(cls, packed: bytes) -> StoredFit | None:
        """Return the fit of `pack`; None if another version of LabelAudit stored it otherwise."""
        arrays = load(packed)
        if arrays.pop("version").tolist() != [VERSION]:
            return None
        landmarks, digest = arrays.pop("landmarks"), arrays.pop("digest")
        blocks = range(sum(name.startswith("mean ") for name in arrays))
        means, scales = (
            [arrays.pop(f"{name} {number}") for number in blocks] for name in ("mean", "scale")
        )
        return cls(landmarks, digest, FeatureMap(means, scales), OthersPredictor(**arrays))


def digest_of(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Return a SHA-256 of features, float16 (n, d) of each extractor, as uint8 (32,)."""
    found = hashlib.sha256()
    for block in blocks:
        found.update(np.ascontiguousarray(block))
    return np.frombuffer(found.digest(), np.uint8)
