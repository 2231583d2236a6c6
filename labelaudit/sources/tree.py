"""Class folders, on disk or in an archive: which class and split a relative path stands for."""

from __future__ import annotations

from collections.abc import Sequence

from ..storage.schema import HELD_OUT_SPLITS, TRAINING_SPLITS

SPLITS = TRAINING_SPLITS | HELD_OUT_SPLITS


def read_tree(paths: Sequence[str]) -> list[tuple[str | None, str | None]]:
    """(label, split) of each relative path with '/' between its parts; label None: no class.

    `cat/1.jpg` has the class cat, `train/cat/1.jpg` also the split train. A single folder around
    everything (`pets/train/cat/1.jpg`) does not count; what lies deeper belongs to its class.
    """
    parts = [path.split("/") for path in paths]
    depth = 0
    while _is_wrapper(parts, depth):
        depth += 1
    parts = [p[depth:] for p in parts]
    tops = {p[0] for p in parts if len(p) > 1}
    if tops and all(top.lower() in SPLITS for top in tops) and any(len(p) > 2 for p in parts):
        return [(p[1], p[0]) if len(p) > 2 else (None, None) for p in parts]
    return [(p[0], None) if len(p) > 1 else (None, None) for p in parts]


def _is_wrapper(parts: list[list[str]], depth: int) -> bool:
    """One folder holds everything, mostly in folders of its own, and it is no split."""
    tops = {p[depth] for p in parts}
    folders = any(len(p) > depth + 2 for p in parts)
    strays = sum(len(p) == depth + 2 for p in parts)
    return (
        len(tops) == 1
        and folders
        and strays < len(parts) / 2  # a few (a cover picture) do not make it a class
        and next(iter(tops)).lower() not in SPLITS
    )
