"""Numbers with their nouns: singular and plural."""

from __future__ import annotations


def counted(count: int, noun: str, one: str = "", many: str = "") -> str:
    """Return a number with its noun, and the words after it that fit the number.

    `counted(1, "image", "was read", "were read")` is "1 image was read"; `counted(2, "class")` is
    "2 classes".
    """
    plural = "" if count == 1 else "es" if noun.endswith("s") else "s"
    words = one if count == 1 else many
    return f"{count:,} {noun}{plural}{words and ' '}{words}"


def verb(count: int, one: str = "is", many: str = "are") -> str:
    """Return the verb that fits a number: `verb(1)` is "is", as in "1 of 9 labels is wrong"."""
    return one if count == 1 else many
