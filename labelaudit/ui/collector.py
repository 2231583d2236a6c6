"""Keeps Python's garbage collector from holding up the answers of the app."""

from __future__ import annotations

import gc
import sys
from functools import cache

STEP = 100  # modules


def spare() -> None:
    """Take what the libraries have loaded out of the collector's sight.

    Streamlit collects after every run of a script or fragment: 120 to 150 ms with our libraries
    loaded, and mostly before the answer has left for the browser. Without them it takes next to
    nothing: from a key to the next image 85 ms instead of 170.
    """
    _freeze(len(sys.modules) // STEP)


@cache
def _freeze(_loaded: int) -> None:
    """Once for so many modules: libraries are loaded when they are first used."""
    gc.collect()
    gc.freeze()
