"""Command line and environment for subprocesses that run a module of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

SESSION = "LABELAUDIT_SESSION"  # of an app that `launch_app` started: the folder of its session
PACKAGE = Path(__file__).resolve().parents[1]


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of this package, such as "jobs.worker"."""
    return [sys.executable, "-m", f"{PACKAGE.name}.{module}", *arguments]


def environment() -> dict[str, str]:
    """Return this process's environment with the package's parent folder on PYTHONPATH."""
    present = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *present])}
