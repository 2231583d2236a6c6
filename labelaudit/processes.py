"""How processes of this library are started: with the modules that this one has."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """The command line of a module of this library."""
    return [sys.executable, "-m", f"{__package__}.{module}", *arguments]


def environment() -> dict[str, str]:
    """This process's, in which the library is found wherever the other one begins."""
    told = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    library = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([library, *told])}
