"""What `load` prints: how a source was understood, and what was skipped."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.plural import counted
from ..sources import Preview
from .base import LIST_LENGTH


def preview_lines(preview: Preview) -> list[str]:
    """Describe how a source is understood: format, splits, classes, and what is skipped."""
    first = "" if preview.is_complete else "the first "
    lines = [
        f"{preview.source} is read as {preview.format}",
        *(f"  {step}" for step in preview.folders),
        f"{first}{counted(preview.images, 'image')}{split_text(preview.splits)}, "
        f"{counted(len(preview.classes), 'class')}",
    ]
    width = min(max((len(entry.name) for entry in preview.classes), default=0), 40)
    for entry in preview.classes[:LIST_LENGTH]:
        lines.append(f"  {entry.name:{width}} {entry.images:>9,}  {', '.join(entry.samples)}")
    more = len(preview.classes) - LIST_LENGTH
    lines += [f"  … and {counted(more, 'more class')}"] if more > 0 else []
    return [
        *lines,
        *unlabelled_lines(preview.unlabelled),
        *skipped_lines(preview.skipped),
        "nothing was loaded; broken images are found while loading",
    ]


def understood_lines(skipped: Mapping) -> list[str]:
    """Say how a loaded source was read; empty for a dataset of an earlier version, or of arrays."""
    title, *steps = skipped.get("understood") or [""]
    return [f"read as {title}{': ' if steps else ''}{'; '.join(steps)}"] if title else []


def split_text(splits: Mapping[str, int]) -> str:
    """Return the splits with their sizes in brackets; empty without splits."""
    text = ", ".join(f"{count:,} {name}" for name, count in splits.items())
    return f" ({text})" if text else ""


def unlabelled_lines(count: int) -> list[str]:
    if not count:
        return []
    has = counted(count, "sample", "has no label; it is", "have no label; they are")
    return [f"{has} predicted but not scored"]


def skipped_lines(skipped: Mapping) -> list[str]:
    """Describe skipped images by reason, other files by kind, and notes."""
    lines = []
    if skipped["count"]:
        lines.append(f"{counted(skipped['count'], 'image', 'was', 'were')} skipped:")
        lines += [f"  {entry['file']}: {entry['why']}" for entry in skipped["files"][:LIST_LENGTH]]
        if (more := skipped["count"] - LIST_LENGTH) > 0:
            lines.append(f"  … and {more:,} more; in all:")
            reasons = sorted((skipped.get("reasons") or {}).items(), key=lambda entry: -entry[1])
            lines += [f"  {count:,} x {reason}" for reason, count in reasons[:LIST_LENGTH]]
    others = skipped.get("others") or {}
    if others:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.items())
        lines.append(f"not read: {kinds}")
    return [*lines, *(skipped.get("notes") or ())]
