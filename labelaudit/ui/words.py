"""Text from the data, from files and from people, for where Streamlit reads Markdown.

A class may be called `![](http://…)`: as Markdown it would be an image that calls out. Only this
module calls st.error; a test holds that.
"""

from __future__ import annotations

import re

import streamlit as st


def plain(text: str) -> str:
    """The text on one line, with every mark escaped that Streamlit's Markdown knows.

    An address in it may become a link, which says where it leads; never an image, or other words.
    """
    text = " ".join(str(text).split())
    text = re.sub(r"([\\`*_\[\]$:~<>|&@])", r"\\\1", text)
    text = re.sub(r"^([#+=-])", r"\\\1", text)  # a heading, a rule, a list
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def sentence(text: str) -> str:
    """An error's words, as a sentence of their own. A name of a file stays as it is."""
    first = text.partition(" ")[0].rstrip(".:,")
    return text if set("._/") & set(first) else text[:1].upper() + text[1:]


def said(error: Exception | str) -> str:
    """What an error says, as a sentence, for Markdown."""
    return plain(sentence(str(error)))


def fail(error: Exception | str) -> None:
    """Show what went wrong."""
    st.error(said(error))
