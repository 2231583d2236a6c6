"""Several people's patches as one; where they want different things nobody is overruled."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..core.errors import BadInputError, NotFoundError
from .lines import KEEP, RELABEL, Change, Patch, read_patch, union


@dataclass(frozen=True)
class Conflict:
    """One sample of which patches want different things: the side of each, by the patch's name."""

    name: str
    sides: dict[str, Change]

    def __str__(self) -> str:
        said = (f"{change.words} by {', '.join(change.by)} ({name})"
                for name, change in self.sides.items())  # fmt: skip
        return f"{self.name}: {'; '.join(said)}"


def merge_patches(
    paths: Sequence[str | os.PathLike | Patch], prefer: str | os.PathLike | None = None
) -> tuple[Patch, list[Conflict]]:
    """The changes of all these patches, and the samples of which they want different things, which
    are left out of them. In whatever order they are given, the changes are the same.

    prefer: one of the paths (or the name of a patch), whose side is taken where there is a
    conflict; then it is listed too, and what the preferred one says is among the changes.
    A sample is the same where file and pixels are, or only the pixels where no patch has two such
    samples: copies of a dataset may lie in other folders. Wanting the same of other labels before
    is a conflict: the patches are then of different datasets, or one is older.
    Raises LabelAuditError for fewer than two patches, one given twice, or one that is malformed.
    """
    names = [path.name if isinstance(path, Patch) else str(path) for path in paths]
    if len(paths) < 2 or len(set(names)) < len(names):
        raise BadInputError("give two patches or more, each once.")
    if prefer is not None and str(prefer) not in names:
        raise NotFoundError(f"{prefer} is none of the patches: they are {', '.join(names)}.")
    patches = [path if isinstance(path, Patch) else read_patch(path) for path in paths]
    changes, conflicts = [], []
    for sides in _by_sample(dict(zip(names, patches, strict=True))):
        merged = _merged(list(sides.values()))
        if merged is None:
            name = min(sides.values(), key=Change.order).name
            conflicts.append(Conflict(name, sides))
            merged = sides.get(str(prefer))
        changes += [] if merged is None else [merged]
    datasets = sorted({patch.dataset for patch in patches})
    changes.sort(key=Change.order)
    conflicts.sort(key=lambda conflict: conflict.name)
    made, classes = max(patch.made for patch in patches), union([p.classes for p in patches])
    return Patch(changes, " + ".join(datasets), classes, made), conflicts


def _by_sample(patches: dict[str, Patch]) -> list[dict[str, Change]]:
    """What each patch says of a sample, for every sample that one of them names."""
    joined: dict[tuple, dict[str, Change]] = defaultdict(dict)
    for name, patch in patches.items():
        for change in patch.changes:
            joined[change.key][name] = change
    same: dict[str, set[tuple]] = defaultdict(set)
    for key, sides in joined.items():
        for pixels in {change.pixels for change in sides.values()} - {None}:
            same[pixels].add(key)
    for _, keys in sorted(same.items()):  # in any order of the patches the same
        groups = [joined[key] for key in sorted(keys) if key in joined]
        if sum(map(len, groups)) == len({name for group in groups for name in group}):
            kept, *others = sorted(key for key in keys if key in joined)
            for key in others:
                joined[kept] |= joined.pop(key)
    return [{name: sides[name] for name in patches if name in sides} for sides in joined.values()]


def _merged(sides: list[Change]) -> Change | None:
    """One line for several that want the same; None where they do not."""
    pixels = {change.pixels for change in sides} - {None}
    before = {change.before for change in sides}
    if len(before) > 1:  # one says that it is so already
        before -= {change.after for change in sides if change.change == KEEP}
    if len({change.outcome for change in sides}) > 1 or len(before) > 1 or len(pixels) > 1:
        return None
    ids = {change.id for change in sides}
    least = min(sides, key=Change.order)
    merged = replace(
        least, before=before.pop(), pixels=pixels.pop() if pixels else None,
        id=ids.pop() if len(ids) == 1 else None,
        by=tuple(sorted({name for change in sides for name in change.by})),
        at=max(change.at for change in sides),
    )  # fmt: skip
    return replace(merged, change=RELABEL) if merged.change == KEEP and (
        merged.before != merged.after) else merged  # fmt: skip
