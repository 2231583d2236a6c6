"""What each step costs at 50,000 to 5,000,000 samples, on synthetic rows, beside the raw limit.

    python benchmarks/scale.py                                  # 50,000 and 1,000,000 x 10
    python benchmarks/scale.py --sizes 5000000x10 1281167x1000  # the latter needs 15 GB of disk
    python benchmarks/scale.py --table                          # only what earlier runs have left

Each size runs in a process of its own. Memory is the step's own peak beyond the process with its
libraries loaded. "limit" is the same bytes read once by pyarrow from a Parquet or .npy file, or the
same by pandas in memory, or cleanlab's batched finder: named in the table. Sizes of 10 classes are
also put together: seconds grow as samples to the power of the fitted slope.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from common import RESULTS, fresh_home, save

BATCH = 10_000  # predictions handed over at once, as predict() does
ROWS = 100_000  # rows made at once
PAGE = 60
RELABELLED = 0.2
PAGES = (0.0, 0.5, 0.999)  # of the ranking
REPEATS = 5  # of what takes milliseconds; the median counts
MANY_LOGITS = 2 << 30  # cleanlab and a second copy on disk are left out above
STATUS, PEAK_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["50000x10", "1000000x10"])
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--table", action="store_true", help="only print what there is")
    options = parser.parse_args()
    if options.one:
        samples, classes = map(int, options.one.split("x"))
        measure(samples, classes)
        return
    if not options.table:
        for size in options.sizes:
            subprocess.run([sys.executable, __file__, "--one", size], check=True)
    show()


class Clock:
    """Seconds, processor-seconds and peak memory of each step."""

    def __init__(self) -> None:
        self.rows: list[dict] = []
        self.base = memory("VmRSS")

    @contextmanager
    def step(self, name: str, of: str = "ours"):
        gc.collect()
        if PEAK_RESET.exists():
            PEAK_RESET.write_text("5")
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.rows.append({
            "step": name, "by": of, "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mb": (memory("VmHWM") - self.base) / 1024,
        })  # fmt: skip

    def repeated(self, name: str, act, of: str = "ours"):
        """The median of REPEATS; what is cached by then is so for a user who turns pages, too."""
        begun = len(self.rows)
        for _ in range(REPEATS):
            with self.step(name, of):
                found = act()
        rows = pd.DataFrame(self.rows[begun:])
        self.rows[begun:] = [
            {"step": name, "by": of, **rows[["seconds", "cpu_seconds", "peak_mb"]].median()}
        ]
        return found


def memory(what: str) -> int:
    """kB; 0 elsewhere than on Linux."""
    if not STATUS.exists():
        return 0
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if what in line)


def measure(samples: int, classes: int) -> None:
    import torch  # noqa: F401

    import labelaudit.storage.tables  # noqa: F401  (imports are no step)

    with fresh_home() as home:
        warm = Clock()
        steps(home, "warm-up", 2_000, classes, warm, compare=False)
        shutil.rmtree(home / "datasets")
        clock = Clock()
        steps(home, "scale", samples, classes, clock, compare=True)
    rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()}
            for r in clock.rows]  # fmt: skip
    save(f"scale-{samples}x{classes}", {"samples": samples, "classes": classes, "steps": rows})


def steps(home: Path, name: str, samples: int, classes: int, clock: Clock, compare: bool) -> None:
    import labelaudit
    from labelaudit.dataset.dataset import create_dataset

    names = [f"class {i:04}" for i in range(classes)]
    labels = np.random.default_rng(0).integers(0, classes, samples).astype(np.int32)
    with clock.step("add samples"):
        dataset = create_dataset(name, new_rows(labels, names), classes=names)
    ids = dataset.view().ids
    some = np.sort(np.random.default_rng(1).permutation(ids)[: round(RELABELLED * samples)])
    other = np.array(names, object)[(labels[some - 1] + 1) % classes]
    with clock.step("tag a fifth"):
        dataset.tag(some, "mistake")
    with clock.step("relabel a fifth"):
        dataset.set_labels(some, other)
    labels[some - 1] = (labels[some - 1] + 1) % classes
    run = dataset.new_run()
    run.finish({"classes": names, "config": {}})
    with clock.step("write predictions"):
        run.write_predictions(predictions(ids, classes))
    with clock.step("all scores, computed and stored"):
        labelaudit.compute_scores(dataset)
    read = "all scores, computed and stored"
    with clock.step(read, "reading the logits once, stored as they are"):
        sum(float(logits[0, 0]) for _, logits in run.logits())
    many = samples * classes * 4 > MANY_LOGITS
    if compare:
        cleanlab_and_numpy(home, labels, run, classes, clock, read, many)
    dataset = labelaudit.Dataset(name)
    view = dataset.view().exclude_tag("removed").match_tag("mistake").sort_by("suspicion", True)
    with clock.step("a ranked, filtered view, just opened"):
        count = len(view)
    for share in PAGES:
        start = int(share * (count - PAGE))
        clock.repeated(f"its page at {share:.1%}",
                       lambda start=start: view.skip(start).limit(PAGE).to_pandas())  # fmt: skip
    pairs = clock.repeated("class-pair counts", lambda: dataset.view().class_pairs())
    assert pairs["count"].sum() <= samples
    with clock.step("CSV of all"):
        labelaudit.write_suspects(dataset.view(), home / "all.csv")
    if compare:
        with_pandas(home, dataset, clock, many)


def new_rows(labels: np.ndarray, names: list[str]):
    dictionary = pa.array(names)
    for start in range(0, len(labels), ROWS):
        some = labels[start : start + ROWS]
        label = pa.DictionaryArray.from_arrays(pa.array(some), dictionary).cast(pa.string())
        paths = pa.array([f"/data/images/{i:08}.jpg" for i in range(start, start + len(some))])
        yield pa.record_batch({"filepath": paths, "label": label,
                               "split": pa.array(["train"] * len(some))})  # fmt: skip


def predictions(ids: np.ndarray, classes: int):
    """Logits of a net that is right mostly. The same however often they are asked for."""
    truth = np.random.default_rng(0).integers(0, classes, len(ids))
    noise = np.random.default_rng(2).standard_normal((BATCH + 1000, classes), np.float32)
    shift = np.random.default_rng(3).integers(0, 1000, len(ids) // BATCH + 1)
    for block, start in enumerate(range(0, len(ids), BATCH)):
        at = slice(start, start + BATCH)
        rows = len(ids[at])
        logits = noise[shift[block] : shift[block] + rows].copy()
        logits[np.arange(rows), truth[at]] += 5
        yield ids[at], logits


def cleanlab_and_numpy(
    home: Path, labels: np.ndarray, run, classes: int, clock: Clock, step: str, many: bool
) -> None:
    """The raw limit, from a file of nothing but the logits; and cleanlab, which finds issues only
    (the nearest to one of our scores)."""
    shape = (len(labels), classes)
    path = home / "logits.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    at = 0
    for _, logits in run.logits():
        stored[at : at + len(logits)] = logits
        at += len(logits)
    stored.flush()
    del stored
    with clock.step(step, "numpy reads the bytes once"):
        file = np.load(path, mmap_mode="r")
        for start in range(0, len(file), BATCH):
            file[start : start + BATCH].sum()
    if many:
        path.unlink()
        return
    from cleanlab.experimental.label_issues_batched import find_label_issues_batched
    from scipy.special import softmax

    p = np.lib.format.open_memmap(home / "p.npy", "w+", np.float32, shape)
    for start in range(0, len(labels), BATCH):
        p[start : start + BATCH] = softmax(file[start : start + BATCH], axis=1)
    with clock.step(step, "cleanlab finds issues in batches"):
        find_label_issues_batched(labels=labels, pred_probs=p, batch_size=BATCH, verbose=False)
    (home / "p.npy").unlink()
    path.unlink()


def with_pandas(home: Path, dataset, clock: Clock, many: bool) -> None:
    """The same of a table that is held in memory whole."""
    if many:
        return
    frame = pd.read_csv(home / "all.csv")

    def page() -> pd.DataFrame:
        wanted = frame[frame["tags"].str.contains("mistake", regex=False, na=False)]
        return wanted.nlargest(PAGE, "suspicion")

    clock.repeated(f"its page at {0.0:.1%}", page, "pandas, all in memory")
    clock.repeated("class-pair counts",
                   lambda: frame.groupby(["ground_truth", "predicted"]).size(),
                   "pandas, all in memory")  # fmt: skip
    with clock.step("CSV of all", "pandas, all in memory"):
        frame.to_csv(home / "pandas.csv", index=False)


def show() -> None:
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("scale-*x*.json"))]
    found.sort(key=lambda each: (each["classes"], each["samples"]))
    tens = []
    for each in found:
        table = pd.DataFrame(each["steps"])
        print(f"\n{each['samples']:,} samples x {each['classes']:,} classes "
              f"(load of the machine at its end {each['machine']['load']:.1f})\n")  # fmt: skip
        print(table.round(3).to_string(index=False))
        if each["classes"] == 10:
            own = table[table["by"] == "ours"].set_index("step")["cpu_seconds"]
            tens.append(own.rename(each["samples"]))
    if len(tens) > 1:
        print("\nprocessor-seconds grow as samples to the power of\n")
        grown = pd.concat(tens, axis=1).clip(lower=1e-3)
        x = np.log([float(n) for n in grown.columns])
        slope = grown.apply(lambda row: np.polyfit(x, np.log(row), 1)[0], axis=1)
        print(slope.round(2).to_string())


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("RUST_LOG", "error")
    main()
