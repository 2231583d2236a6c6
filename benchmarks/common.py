"""What the benchmarks share: data, clocks, tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
RESULTS = Path(__file__).parent / "results"


@contextmanager
def fresh_home():
    """An empty LABELAUDIT_HOME for one benchmark."""
    with tempfile.TemporaryDirectory(prefix="labelaudit-bench-") as folder:
        os.environ["LABELAUDIT_HOME"] = folder
        yield Path(folder)


class Steps:
    """Wall and CPU seconds and peak memory (of this process, so far) of named steps."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    @contextmanager
    def step(self, name: str):
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.rows.append(
            {
                "step": name,
                "seconds": round(time.perf_counter() - wall, 3),
                "cpu_seconds": round(time.process_time() - cpu, 3),
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )


def machine() -> dict:
    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def save(name: str, result: dict) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **result}, indent=2, default=float))
    print(f"\nwritten to {path}")
    return path
