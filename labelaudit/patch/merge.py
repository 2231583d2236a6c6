"""Merge patches of several people. Changes that contradict each other become conflicts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.errors import BadInputError
from .parse import read_patch
from .patch_file import KEEP, RELABEL, Change, Patch, merge_class_names


@dataclass(frozen=True)
class Conflict:
    """A sample with contradicting changes. sides: the change of each patch, by the patch's name."""

    name: str
    sides: dict[str, Change]

    def __str__(self) -> str:
        sides = (
            f"{change.words} by {', '.join(change.by)} ({name})"
            for name, change in self.sides.items()
        )
        return f"{self.name}: {'; '.join(sides)}"


def merge_patches(
    paths: Sequence[str | os.PathLike | Patch], prefer: str | os.PathLike | None = None
) -> tuple[Patch, list[Conflict]]:
    """Merge patches. Returns the merged patch, and the conflicts, which are left out of it.

    The order of the patches does not matter. prefer: the path or name of the patch that wins in a
    conflict; its changes are then in the merged patch, and the conflicts are still returned.
    Changes are about the same sample if file and pixels are equal, or only the pixels if no patch
    has two such samples, because copies of a dataset may be in other folders. The same change of
    different old labels is a conflict: the patches are of different datasets, or one is outdated.
    Raises BadInputError for fewer than two patches, a repeated patch, or a malformed one.
    """
    names = [path.name if isinstance(path, Patch) else str(path) for path in paths]
    if len(paths) < 2 or len(set(names)) < len(names):
        raise BadInputError("give at least two patches, each only once.")
    if prefer is not None and str(prefer) not in names:
        raise BadInputError(f"{prefer} is not one of the patches: they are {', '.join(names)}.")
    patches = [path if isinstance(path, Patch) else read_patch(path) for path in paths]
    changes, conflicts = [], []
    for sides in _by_sample(dict(zip(names, patches, strict=True))):
        merged = _merge_changes(list(sides.values()))
        if merged is None:
            name = min(sides.values(), key=Change.order).name
            conflicts.append(Conflict(name, sides))
            merged = sides.get(str(prefer))
        changes += [] if merged is None else [merged]
    datasets = sorted({patch.dataset for patch in patches})
    changes.sort(key=Change.order)
    conflicts.sort(key=lambda conflict: conflict.name)
    made = max(patch.made for patch in patches)
    classes = merge_class_names([patch.classes for patch in patches])
    return Patch(changes, " + ".join(datasets), classes, made), conflicts


def _by_sample(patches: dict[str, Patch]) -> list[dict[str, Change]]:
    """Return the change of each patch, by the patch's name, for every sample in any of them."""
    joined: dict[tuple, dict[str, Change]] = defaultdict(dict)
    for name, patch in patches.items():
        for change in patch.changes:
            joined[change.key][name] = change
    keys_by_pixels: dict[str, set[tuple]] = defaultdict(set)
    for key, sides in joined.items():
        for pixels in {change.pixels for change in sides.values()} - {None}:
            keys_by_pixels[pixels].add(key)
    for _, keys in sorted(keys_by_pixels.items()):  # sorted: independent of the patches' order
        groups = [joined[key] for key in sorted(keys) if key in joined]
        if sum(map(len, groups)) == len({name for group in groups for name in group}):
            first, *others = sorted(key for key in keys if key in joined)
            for key in others:
                joined[first] |= joined.pop(key)
    return [{name: sides[name] for name in patches if name in sides} for sides in joined.values()]


def _merge_changes(sides: list[Change]) -> Change | None:
    """Return one change for several that want the same; None if they differ."""
    pixels = {change.pixels for change in sides} - {None}
    before = {change.before for change in sides}
    if len(before) > 1:  # a KEEP of the new label does not contradict
        before -= {change.after for change in sides if change.change == KEEP}
    if len({change.outcome for change in sides}) > 1 or len(before) > 1 or len(pixels) > 1:
        return None
    ids = {change.id for change in sides}
    first = min(sides, key=Change.order)
    merged = replace(
        first,
        before=before.pop(),
        pixels=pixels.pop() if pixels else None,
        id=ids.pop() if len(ids) == 1 else None,
        by=tuple(sorted({name for change in sides for name in change.by})),
        at=max(change.at for change in sides),
    )
    if merged.change == KEEP and merged.before != merged.after:
        return replace(merged, change=RELABEL)
    return merged
