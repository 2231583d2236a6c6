"""Draws samples at random, but the same ones every time: those with the lowest hash."""

from __future__ import annotations

from hashlib import sha256

import numpy as np


def hashed(ids: np.ndarray, salt: tuple) -> np.ndarray:
    """Return a hash of each id, uint64 (n,), different for each salt.

    Source: splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators").
    """
    seed = int.from_bytes(sha256(repr(salt).encode()).digest()[:8], "little")
    z = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def least_hashed(ids: np.ndarray, salt: tuple, count: int) -> np.ndarray:
    """Return the `count` ids with the lowest hash, in the order of their hash.

    The draw changes little when some ids are added or removed.
    """
    z = hashed(ids, salt)
    if count < len(ids):
        least = np.argpartition(z, count)[:count]
        ids, z = ids[least], z[least]
    return ids[np.argsort(z, kind="stable")]


def insert_at(ids: np.ndarray, others: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Insert other ids so that they are at the given increasing places of the result."""
    return np.insert(ids, np.minimum(places - np.arange(len(places)), len(ids)), others)
