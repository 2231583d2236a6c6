"""The same audit by one process and by 1, 2 and 4 workers of a Ray cluster on this machine; and
what that means for very many samples.

    .venv-extras/bin/python benchmarks/cluster.py               # about three minutes on two cores
    .venv-extras/bin/python benchmarks/cluster.py --plan        # from the rates that were measured

Each number of workers is a cluster of as many cores: more than the machine has only shows what
they cost. Seconds of work are without the start-up, which is listed apart: predicting is clocked
from the first samples to the last, the rest when workers have begun. Memory is the largest of any
worker and of the driver, resident. The plan multiplies rates with numbers of samples: what one
process does in a processor-second, so that other work on the machine counts little, without what is
done once however many there are. Of the price of a core-hour it knows nothing (--price).
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from common import RESULTS, fresh_home, save

NAME = "cluster"
CLASSES, MANY_CLASSES = 10, 1_000
EPOCHS, USUAL_EPOCHS = 2, 12
SIDE = 32
VECTORS = None  # made by `prepare`
LOGITS = ["suspicion", "self_confidence", "normalized_margin", "mistakenness",
          "confident_learning", "hardness"]  # fmt: skip
SIZES = [(10**8, 10), (10**8, 1_000), (10**9, 10), (10**9, 1_000)]
LOOKS = 6  # at each image of a colour dataset, with augmentation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=3_000, help="learned and predicted")
    parser.add_argument("--logits", type=int, default=200_000, help="rows that are scored")
    parser.add_argument("--vectors", type=int, default=12_000, help="embeddings compared")
    parser.add_argument("--plan", action="store_true", help="only print the plan")
    parser.add_argument("--price", type=float, help="of a core-hour, for the plan")
    parser.add_argument("--image-bytes", type=int, default=100_000, help="of an image, in the plan")
    parser.add_argument("--width", type=int, default=2_048, help="of embeddings, in the plan")
    options = parser.parse_args()
    if not options.plan:
        with fresh_home() as home:
            measure(home, options)
    path = RESULTS / f"{NAME}.json"
    if not path.exists():
        parser.error(f"{path} is not there: run it once without --plan.")
    plan(json.loads(path.read_text()), options)


# --- what is measured ---


def measure(home: Path, options) -> None:
    import torch

    torch.set_num_threads(1)
    prepare(options)
    alone, spent = one_process()
    rows = [alone]
    for workers in options.workers:
        rows.append(by_workers(workers))
    table = pd.DataFrame(rows)
    print("\nseconds of work; of the start of cluster and workers; resident MB\n")
    print(table.round(2).to_string(index=False))
    save(NAME, {"options": vars(options), "rows": rows, "processor_seconds": spent,
                "rates": rates(spent, options),
                "bytes": stored_bytes(home)})  # fmt: skip


def prepare(options) -> None:
    """Create random images, logits and embeddings: their content does not affect the time."""
    import labelaudit
    from labelaudit.dataset.dataset import create_dataset

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (options.images, SIDE, SIDE, 3), np.uint8)
    labels = [f"c{i % CLASSES}" for i in range(options.images)]
    labelaudit.load_arrays("images", images, labels)
    for classes, rows in ((CLASSES, options.logits), (MANY_CLASSES, options.logits // 20)):
        names = [f"c{i % classes:04}" for i in range(rows)]
        paths = [f"{i}.png" for i in range(rows)]
        dataset = create_dataset(f"logits-{classes}", {"filepath": paths, "label": names})
        logits = rng.standard_normal((rows, classes), np.float32)
        labelaudit.import_predictions(dataset, logits, "brought", kind="logits")
    global VECTORS
    VECTORS = rng.standard_normal((options.vectors, 64)).astype(np.float32)


def one_process() -> tuple[dict, dict]:
    """Measure seconds and processor-seconds."""
    import labelaudit
    from labelaudit.features.neighbours import all_nearest

    config = labelaudit.TrainConfig(epochs=EPOCHS, threads=1)
    row: dict = {"by": "one process", "start": 0.0}
    spent: dict = {}
    data = labelaudit.Dataset("images")
    ends: dict[int, float] = {}

    def hear(report) -> None:
        ends.setdefault(len(report.curves), time.process_time())

    with watched(row):
        run = labelaudit.train(data, "mine", config, task=labelaudit.Task(hear))
        row |= an_epoch(run)
        spent["epoch"] = ends[EPOCHS] - ends[EPOCHS - 1]
        with clocked(row, "predict", spent):
            labelaudit.predict(data, "mine", augment=False)
        for classes in (CLASSES, MANY_CLASSES):
            scored = labelaudit.Dataset(f"logits-{classes}")
            labelaudit.compute_scores(scored, names=LOGITS[1:2])  # imports
            with clocked(row, f"score x{classes}", spent), fitting() as fitted:
                labelaudit.compute_scores(scored, names=LOGITS)
            spent[f"fit x{classes}"] = sum(fitted)
        with clocked(row, "k-NN", spent):
            all_nearest(VECTORS, np.ones(len(VECTORS), bool), 50)
    labelaudit.compute_scores(data, "mine")  # for what they take on disk
    return row, spent


def by_workers(workers: int) -> dict:
    from labelaudit.cluster.connection import set_defaults

    set_defaults()
    import ray

    row: dict = {"by": f"{workers} worker{'s' * (workers > 1)}"}
    with clocked(row, "start"):
        ray.init(
            "local", num_cpus=workers, include_dashboard=False, _node_ip_address="127.0.0.1",
            log_to_driver=False, logging_level="ERROR",
        )  # fmt: skip
    try:
        with watched(row):
            steps_by_workers(row, workers)
    finally:
        ray.shutdown()
    return row


def steps_by_workers(row: dict, workers: int) -> None:
    import labelaudit
    from labelaudit import cluster
    from labelaudit.cluster.nearest import search_on_workers
    from labelaudit.features.neighbours import all_nearest

    data, name = labelaudit.Dataset("images"), f"ray-{workers}"
    began = time.perf_counter()
    run = cluster.train(data, name, labelaudit.TrainConfig(epochs=EPOCHS, threads=1))
    row |= an_epoch(run)
    row["start of training"] = time.perf_counter() - began - run.info["seconds"]
    began, seen = time.perf_counter(), []

    def hear(report) -> None:
        if report.stage == "predicting" and report.done:
            seen.append((time.perf_counter(), report.done))

    cluster.predict(data, name, augment=False, task=labelaudit.Task(hear))
    (first, before), (last, done) = seen[0], next(s for s in seen if s[1] == seen[-1][1])
    row["start of predicting"] = first - began
    row["predict"] = (last - first) * done / max(done - before, 1)
    for classes in (CLASSES, MANY_CLASSES):
        scored = labelaudit.Dataset(f"logits-{classes}")
        with clocked(row, "first"):
            cluster.compute_scores(scored, names=LOGITS)
        with clocked(row, f"score x{classes}"):
            cluster.compute_scores(scored, names=LOGITS)
        first = row.pop("first") - row[f"score x{classes}"]
        row.setdefault("start of scoring", first)
    for again in (False, True):
        with clocked(row, "k-NN" if again else "first"):
            all_nearest(
                VECTORS, np.ones(len(VECTORS), bool), 50, search=search_on_workers
            )  # fmt: skip
    row.pop("first")


def an_epoch(run) -> dict:
    curves = run.info["curves"]
    return {"epoch": curves[-1]["seconds"] - curves[-2]["seconds"]}


@contextmanager
def clocked(row: dict, name: str, spent: dict | None = None):
    """Seconds into `row`, processor-seconds of this process into `spent`."""
    began, cpu = time.perf_counter(), time.process_time()
    yield
    row[name] = time.perf_counter() - began
    if spent is not None:
        spent[name] = time.process_time() - cpu


@contextmanager
def fitting():
    """Processor-seconds of each fit of a noise model."""
    from labelaudit.scores.suspicion import Suspicion

    fit, taken = Suspicion.fit, []

    def timed(self) -> None:
        began = time.process_time()
        fit(self)
        taken.append(time.process_time() - began)

    Suspicion.fit = timed
    try:
        yield taken
    finally:
        Suspicion.fit = fit


@contextmanager
def watched(row: dict):
    """The largest resident size of any worker, and of this process, in MB."""
    import psutil

    over, own = threading.Event(), psutil.Process()
    largest = {"driver MB": 0.0, "worker MB": 0.0}

    def watch() -> None:
        while not over.wait(0.3):
            largest["driver MB"] = max(largest["driver MB"], own.memory_info().rss / 2**20)
            for child in own.children(recursive=True):
                try:
                    if child.cmdline()[0].startswith("ray::"):
                        size = child.memory_info().rss / 2**20
                        largest["worker MB"] = max(largest["worker MB"], size)
                except (psutil.Error, IndexError):
                    continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        row |= largest


def rates(spent: dict, options) -> dict:
    """Return the work that one core does in a second."""
    scoring = {}
    for classes, rows in ((CLASSES, options.logits), (MANY_CLASSES, options.logits // 20)):
        each = spent[f"score x{classes}"] - spent[f"fit x{classes}"]  # the fit is done once
        scoring[f"samples scored x{classes}"] = rows / each
    return {
        "images predicted": options.images / spent["predict"],
        "images learned and watched": options.images / spent["epoch"],
        **scoring,
        "pairs compared": options.vectors**2 / spent["k-NN"],
        "width of the vectors": VECTORS.shape[1],
    }


def stored_bytes(home: Path) -> dict:
    """On disk, for each sample: of a run of small images, without its logits and embeddings."""
    import labelaudit

    data = labelaudit.Dataset("images")
    run, folder = data.run("mine"), home / "datasets/images"

    def size(table: str) -> float:
        files = (folder / f"{table}-{run.id}.lance").rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file()) / len(data)

    return {"dynamics of an epoch": size("dynamics") / EPOCHS, "scores": size("scores")}


# --- what it comes to ---


def plan(result: dict, options) -> None:
    from labelaudit.cluster.predicting import FRAGMENT_BYTES
    from labelaudit.features.neighbours import CELL, FITTED, ROUNDS, SEARCHED

    rate, stored = result["rates"], result["bytes"]
    print(f"\nRates of one core, measured on this machine (load {result['machine']['load']:.1f})\n")
    for name, value in rate.items():
        print(f"  {name:30} {value:,.0f}{'' if 'width' in name else ' a second'}")
    rows = []
    for samples, classes in SIZES:
        cells = samples / CELL
        numbers = options.width / rate["width of the vectors"]  # a comparison costs as many more
        pairs = samples * (SEARCHED + cells) + ROUNDS * FITTED * cells**2
        hours = {
            f"train, {USUAL_EPOCHS} epochs": USUAL_EPOCHS
            * samples
            / rate["images learned and watched"],
            f"predict, {LOOKS} looks": LOOKS * samples / rate["images predicted"],
            "score": samples / rate[f"samples scored x{classes}"],
            "k-NN": pairs * numbers / rate["pairs compared"],
        }
        hours = {step: seconds / 3600 for step, seconds in hours.items()}
        row = {
            "samples": f"{samples:.0e}",
            "classes": classes,
            "images TB": samples * options.image_bytes / 1e12,
            "logits TB": samples * classes * 4 / 1e12,
            "embeddings TB": samples * options.width * 2 / 1e12,
            "dynamics TB": samples * USUAL_EPOCHS * stored["dynamics of an epoch"] / 1e12,
            "scores TB": samples * stored["scores"] / 1e12,
            "files of predictions": samples * 4 * (classes + options.width) / FRAGMENT_BYTES,
            **{f"{step}: core-hours": value for step, value in hours.items()},
            "core-hours": sum(hours.values()),
            "labels and ids in each process GB": samples * FRAME_BYTES / 1e9,
            "driver when scoring GB": samples * (FRAME_BYTES + scoring_bytes()) / 1e9,
            "embeddings of k-NN on each node GB": samples * options.width * 4 / 1e9,
        }
        if options.price is not None:
            row["cost"] = row["core-hours"] * options.price
        rows.append(row)
    print(f"\nFor images of {options.image_bytes:,} bytes and embeddings of {options.width:,} "
          "numbers, and a net as costly as the one that was measured\n")  # fmt: skip
    table = pd.DataFrame(rows).set_index(["samples", "classes"]).T
    print(table.map(lambda value: f"{value:,.3g}" if value < 100 else f"{value:,.0f}").to_string())
    if options.price is None:
        print("\ncost: core-hours x the price of one (--price)")


# Arrays that a Frame holds of each sample: id, label, label before, three tags, place of its row.
FRAME_BYTES = 8 + 4 + 4 + 3 + 8


def scoring_bytes() -> int:
    """What scoring holds of each sample: rows and places, all scores, and training dynamics."""
    from labelaudit.dataset.dynamics import MEASURES
    from labelaudit.scores import SCORES

    return 8 + 8 + 8 + 4 + 8 * len(SCORES) + 4 + 8 + USUAL_EPOCHS * 4 * len(MEASURES)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
