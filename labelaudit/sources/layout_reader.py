"""Reads a tree of folders from the top, and refuses what has two readings."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict

from ..core.plural import counted
from ..storage.schema import TRAINING_SPLITS
from .folder_names import (
    are_parts,
    is_container,
    is_tool,
    mix_split_and_class,
    split_name,
    split_of,
    splits_of,
)
from .layout import BESIDE_IMAGES, NO_CLASS_FOLDER, Branch, UnclearLayoutError, how_to

SHOWN_FOLDERS = 5


class LayoutReader:
    """Reads a tree from the top, level by level."""

    def __init__(self, branches: list[Branch], split_level: int | None) -> None:
        """split_level: given by the user; 0 for none, None to detect it."""
        self.branches = branches
        self.steps: list[str] = []
        self.finds_splits = split_level is None
        self.has_splits = False
        if split_level:
            self._take_split_level(split_level)

    def read(self) -> list[str]:
        while self._step():
            pass
        self._check_loose()
        return self.steps

    def _take_split_level(self, level: int) -> None:
        for branch in self.branches:
            if len(branch.parts) >= level:
                name = branch.parts[level - 1]
                branch.split = split_of(name) or name
                branch.parts = branch.parts[: level - 1] + branch.parts[level:]
        self.has_splits = True
        self.steps.append(f"splits: folders at level {level}")

    def _step(self) -> bool:
        """Read one level. Returns whether there is a further one to read."""
        heads = self._heads()
        if not heads:
            raise UnclearLayoutError(self._nothing_left())
        names = list(heads)
        if self.finds_splits and self._step_into_splits(names):
            return True
        if len(names) == 1:
            return self._step_into(names[0])
        if are_parts(names):
            for branch in self.branches:
                branch.at += bool(branch.rest)
            self.steps.append(f"folders around the images: {_listed(names)}")
            return True
        if mix_split_and_class(names) and self.finds_splits:
            raise UnclearLayoutError(
                f"the folders {_listed(names)} name split and class at once: move the images to "
                f"train/<class>/ and test/<class>/, or use {how_to('split_from', 'none')} to make "
                "each folder a class"
            )
        if self._step_beside_tools(names):
            return True
        self._check_names(names, heads)
        self._take_classes(heads)
        return False

    def _heads(self) -> dict[str, list[Branch]]:
        heads = defaultdict(list)
        for branch in self.branches:
            if branch.rest:
                heads[branch.rest[0]].append(branch)
        return dict(heads)

    def _step_into_splits(self, names: list[str]) -> bool:
        splits = splits_of(names)
        if splits is None:
            return False
        if self.has_splits:
            level = self._level_of(names[0])
            raise UnclearLayoutError(
                f"there are two levels of splits ({'; '.join(self.steps)}; then "
                f"{_listed(names)}): load one folder of the first level by its own path, or name "
                f"the levels: {how_to('split_from', level)} and {how_to('label_from', level + 1)}"
            )
        for branch in self.branches:
            if branch.rest:
                branch.split = splits[branch.rest[0]]
                branch.at += 1
        self.steps.append(f"splits: {_listed(names)}")
        self.has_splits = True
        for split in set(splits.values()):
            self._collapse(split)
        return True

    def _collapse(self, split: str) -> None:
        """Step into folders that repeat the name of the split (seg_train/seg_train/cat), and into
        a folder around images without class folders (test/images/1.jpg)."""
        while True:
            inside = [b for b in self.branches if b.split == split and b.rest]
            names = {branch.rest[0] for branch in inside}
            if len(names) != 1:
                return
            name = names.pop()
            again = split_name(name)
            is_flat = is_container(name) and all(len(branch.rest) == 1 for branch in inside)
            if not is_flat and (again is None or again.word != split.lower()):
                return
            for branch in inside:
                branch.at += 1

    def _step_into(self, name: str) -> bool:
        """Read a level that has one folder: one around the classes, or the only class."""
        inside = [branch for branch in self.branches if branch.rest]
        direct = sum(branch.count for branch in inside if len(branch.rest) == 1)
        total = sum(branch.count for branch in self.branches)
        # a few images, such as a cover picture, do not make a folder of folders a class
        is_around = any(len(branch.rest) > 1 for branch in inside) and direct < total / 2
        if is_around or is_container(name) or is_tool(name):
            for branch in inside:
                branch.at += 1
            if not is_around or is_container(name):
                self.steps.append(f"a folder around the images: {name}/")
            return True
        self._take_classes({name: inside})
        return False

    def _step_beside_tools(self, names: list[str]) -> bool:
        """Leave folders of annotations aside. Returns whether there were any."""
        tools = [name for name in names if is_tool(name)]
        others = [name for name in names if name not in tools]
        containers = [name for name in others if is_container(name)]
        is_split = bool(self.finds_splits and others and splits_of(others))
        if not tools or not (is_split or (len(containers) == 1 == len(others))):
            return False
        for branch in self.branches:
            if branch.rest and branch.rest[0] in tools:
                branch.at, branch.why = len(branch.parts), BESIDE_IMAGES
        self.steps.append(f"not read: {_listed(tools)}")
        return True

    def _check_names(self, names: list[str], heads: dict[str, list[Branch]]) -> None:
        """Raise UnclearLayoutError if some of these folders are named like no class."""
        kinds = {name: self._kind(name) for name in names}
        special = [name for name, kind in kinds.items() if kind]
        if not special:
            return
        flat = all(len(b.rest) == 1 for name in special for b in heads[name])
        if flat and all(name.lower() in TRAINING_SPLITS for name in special) and len(special) == 1:
            return  # "train" beside other classes is a vehicle: a split without classes is no data
        plain = [name for name in names if not kinds[name]]
        level = self._level_of(names[0])
        readings = [
            f"{'all of them are classes' if plain else 'they are classes'} "
            f"({how_to('label_from', level)})"
        ]
        above = "".join(f"{part}/" for part in heads[names[0]][0].parts[: level - 1])
        no_class = special if flat else plain  # the others hold what can be read
        if plain:
            paths = ",".join(f"{above}{name}" for name in no_class)
            readings.append(
                f"{_listed(no_class)} {'is' if len(no_class) == 1 else 'are'} left out "
                f"({how_to('ignore', shlex.quote(paths))})"
            )
        if not (flat or plain):
            readings.append(
                f"the folders in them are the classes ({how_to('label_from', level + 1)})"
            )
        raise UnclearLayoutError(
            f"the folder {special[0]}/ may be {kinds[special[0]]} or a class, beside "
            f"{_listed([name for name in names if name != special[0]])}: either "
            + ", or ".join(readings)
        )

    def _kind(self, name: str) -> str | None:
        if self.finds_splits and split_of(name):
            return "a split"
        if is_container(name):
            return "a folder around images"
        return "a folder of annotations" if is_tool(name) else None

    def _level_of(self, name: str) -> int:
        """Return the level of a folder that is read next, counted from the top, from 1."""
        found = next(branch for branch in self.branches if branch.rest and branch.rest[0] == name)
        return len(found.folder.split("/")) - len(found.rest) + 1

    def _take_classes(self, heads: dict[str, list[Branch]]) -> None:
        below = self._below(heads)
        splits = splits_of(set().union(*below.values())) if all(below.values()) else None
        if splits and self.finds_splits and not self.has_splits and len(splits) > 1:
            self.steps.append(f"splits in the class folders: {_listed(list(splits))}")
            self.has_splits = True
        else:
            splits = None
            self._check_depth(heads, below)
        for name, inside in heads.items():
            for branch in inside:
                branch.label = name
                if splits:
                    branch.split = splits.get(next(iter(_inner(branch)), ""), branch.split)
                elif any(map(is_tool, branch.rest[1:])):
                    branch.label, branch.why = None, BESIDE_IMAGES
        self.steps.append(f"classes: {_listed(sorted(heads))}")

    def _below(self, heads: dict[str, list[Branch]]) -> dict[str, set[str]]:
        """Return the folders in each class folder; empty for one that directly holds its images."""
        below = {}
        for name, inside in heads.items():
            total = sum(branch.count for branch in inside)
            direct = sum(branch.count for branch in inside if not _inner(branch))
            inner = {_inner(branch)[0] for branch in inside if _inner(branch)}
            below[name] = inner if direct < total / 2 else set()
        return below

    def _check_depth(self, heads: dict[str, list[Branch]], below: dict[str, set[str]]) -> None:
        """Raise UnclearLayoutError if the classes may be one level deeper."""
        several = [name for name, inner in below.items() if len(inner) > 1]
        differ = all(below.values()) and any(
            {inner.lower() for inner in below[name]} != {name.lower()} for name in below
        )
        shared = len(set().union(*below.values())) == 1 and len(below) > 1
        if len(heads) < 2 or not (several or (differ and not shared)):
            return
        name = (several or list(below))[0]
        level = self._level_of(name)
        deep = next(branch for branch in heads[name] if _inner(branch))
        lower = len(deep.folder.split("/")) - len(_inner(deep)) + 1
        is_split = "" if self.has_splits else f" and {how_to('split_from', level)} for"
        raise UnclearLayoutError(
            f"the classes may be {_listed(list(heads))} ({how_to('label_from', level)}), or the "
            f"folders in them, such as {_listed([f'{name}/{x}' for x in sorted(below[name])], 3)} "
            f"({how_to('label_from', lower)}"
            + (f"{is_split} {_listed(list(heads), 2)} as splits)" if is_split else ")")
        )

    def _check_loose(self) -> None:
        """Raise UnclearLayoutError if most images are in no class folder."""
        labelled: Counter = Counter()
        loose: Counter = Counter()
        for branch in self.branches:
            found = labelled if branch.label is not None else loose
            if branch.why == NO_CLASS_FOLDER:
                found[branch.split] += branch.count
        # a split without any class folder is data without labels, which is common
        loose_count = sum(n for split, n in loose.items() if labelled[split])
        if loose_count > sum(labelled.values()):
            names = _listed(sorted({b.label for b in self.branches if b.label is not None}))
            raise UnclearLayoutError(
                f"{counted(loose_count, 'image')} in no class folder, and only "
                f"{sum(labelled.values()):,} in {names}"
            )

    def _nothing_left(self) -> str:
        counts = Counter({b.folder: b.count for b in self.branches if b.count})
        tree = ", ".join(
            f"{folder}/ {count:,}" if folder else f"{count:,} at the top"
            for folder, count in sorted(counts.most_common(SHOWN_FOLDERS))
        )
        more = len(counts) - SHOWN_FOLDERS
        tree += f" and {more:,} more folders" if more > 0 else ""
        steps = f" ({'; '.join(self.steps)})" if self.steps else ""
        return f"the images are in {tree}, and no folder is left that could be a class{steps}"


def _inner(branch: Branch) -> tuple[str, ...]:
    """The folders in a class folder, without those that are around all images."""
    inner = branch.rest[1:]
    while inner and (is_container(inner[0]) or is_tool(inner[0])):
        inner = inner[1:]
    return inner


def _listed(names: list[str], shown: int = SHOWN_FOLDERS) -> str:
    """Return the names as folders, shortened if there are many."""
    text = ", ".join(f"{name}/" for name in names[:shown])
    return f"{text} … ({len(names):,} folders)" if len(names) > shown else text
