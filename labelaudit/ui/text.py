"""Escapes text from data, files and people for Streamlit's Markdown, and shows errors.

A class may be named `![](http://…)`, which Markdown would load as a remote image. A test ensures
that only this module calls st.error.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import streamlit as st

from ..core.plural import counted, verb

__all__ = ["counted", "error_text", "label_counts", "plain", "sentence", "show_error", "verb"]


NAMED_CLASSES = 6  # in a question before many labels are decided at once


def label_counts(labels: Sequence[str]) -> str:
    """Return the most frequent classes with their counts, such as "40 dress, 33 shirt"."""
    counts = Counter(labels).most_common()
    parts = [f"{count:,} {name}" for name, count in counts[:NAMED_CLASSES]]
    if rest := sum(count for _, count in counts[NAMED_CLASSES:]):
        parts.append(f"{rest:,} of {counted(len(counts) - NAMED_CLASSES, 'other class')}")
    return ", ".join(parts)


def plain(text: str) -> str:
    """Return the text on one line, with all Markdown of Streamlit escaped.

    An address in it may still become a link to itself, but never an image or other text.
    """
    text = " ".join(str(text).split())
    text = re.sub(r"([\\`*_\[\]$:~<>|&@])", r"\\\1", text)
    text = re.sub(r"^([#+=-])", r"\\\1", text)  # a heading, a rule, a list
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def sentence(text: str) -> str:
    """Capitalise the text, unless it begins with a file name."""
    first = text.partition(" ")[0].rstrip(".:,")
    return text if set("._/") & set(first) else text[:1].upper() + text[1:]


def error_text(error: Exception | str) -> str:
    """Return the message of an error as an escaped sentence."""
    return plain(sentence(str(error)))


def show_error(error: Exception | str) -> None:
    """Show an error on the page."""
    st.error(error_text(error))
