"""Projects vectors to the plane with UMAP, in a process of its own.

UMAP compiles itself for half a minute, during which a process answers nothing else, and it cannot
be stopped. The package umap-learn is optional.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core import subprocess_env
from ..core.errors import LabelAuditError

FEWEST = 10  # vectors; UMAP fails for three, and has nothing to show of a few more
NEIGHBOURS = 15
EPOCHS = 200  # 500, its own number for up to 10,000 vectors, look the same and take longer
WAIT_SECONDS = 0.25


def is_installed() -> bool:
    """Return whether UMAP is installed."""
    return importlib.util.find_spec("umap") is not None


def umap_plane(vectors: np.ndarray, wait: Callable[[], None] = lambda: None) -> np.ndarray:
    """Return the places of at least FEWEST vectors, float32 (n, d), in the plane: float32 (n, 2).

    They are the same at every call. wait: called several times a second; an exception that it
    raises stops the computation. Raises LabelAuditError if UMAP fails.
    """
    with tempfile.TemporaryDirectory(prefix="labelaudit-umap-") as folder:
        source, target, log = (Path(folder, name) for name in ("in.npy", "out.npy", "log"))
        np.save(source, vectors)
        command = subprocess_env.command("ranking.umap_plane", str(source), str(target))
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=subprocess_env.environment(), stdout=output, stderr=output
            )
        try:
            while _is_running(process):
                wait()
        finally:
            process.kill()  # no effect if it has ended
            process.wait()
        if process.returncode:
            lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
            raise LabelAuditError(
                f"UMAP failed ({lines[-1]}): turn it off to see the map by PCA, or install "
                "umap-learn again."
            )
        return np.load(target)


def _is_running(process: subprocess.Popen) -> bool:
    try:
        process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _project(source: str, target: str) -> None:
    from umap import UMAP

    vectors = np.load(source)
    neighbours = min(NEIGHBOURS, len(vectors) - 1)
    # with a seed it uses one thread, and says so if another number is asked for
    plane = UMAP(
        n_neighbors=neighbours, metric="cosine", random_state=0, n_epochs=EPOCHS, n_jobs=1
    ).fit_transform(vectors)
    np.save(target, np.asarray(plane, np.float32))


if __name__ == "__main__":
    _project(*sys.argv[1:])
