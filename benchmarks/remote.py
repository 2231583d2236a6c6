"""What a page costs of a dataset in object storage: requests, bytes and seconds.

    python benchmarks/remote.py                                # 20,000 and 200,000 samples
    python benchmarks/remote.py --samples 20000 --latency 0

The server is moto's on this machine, in a process of its own; each request waits `latency`
milliseconds before it is answered, as those to a bucket in the same region do. The steps are those
of one session, in one process that has just been started: what it has read it keeps.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from common import save

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))
PAGE, CARDS = 48, 3
SHAPE = (16, 16, 3)  # of an image, which is noise: 0.9 kB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", nargs="+", type=int, default=[20_000, 200_000])
    parser.add_argument("--latency", type=float, default=20, help="milliseconds")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure_steps(options.measure)))
        return
    found = []
    for samples in options.samples:
        with tempfile.TemporaryDirectory() as local, server():
            os.environ |= {"HOME": local, "LABELAUDIT_HOME": "s3://bucket/home"}
            rows = measure(samples, options.latency)
        table = pd.DataFrame(rows)
        print(f"\n{samples:,} samples, {options.latency:g} ms a request\n")
        print(table.to_string(index=False))
        found.append({"samples": samples, "steps": rows})
    save("remote", {"latency_ms": options.latency, "page": PAGE, "sizes": found})


@contextmanager
def server():
    command = [sys.executable, str(TESTS / "s3_server.py")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        os.environ |= json.loads(process.stdout.readline())
        yield
    finally:
        process.communicate("")


def asked(latency: float | None = None) -> list[dict]:
    """Return the requests since the last call. latency: delay of each, in milliseconds."""
    query = "" if latency is None else f"?latency={latency}"
    with urllib.request.urlopen(f"{os.environ['AWS_ENDPOINT']}/counts{query}") as answer:
        return json.load(answer)


def measure(samples: int, latency: float) -> list[dict]:
    from review import synthetic

    synthetic(samples, SHAPE)
    asked(latency)
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, __file__, "--measure", "synthetic"]
    measured = subprocess.run(
        command, check=True, text=True, env=environment, stdout=subprocess.PIPE
    )
    return json.loads(measured.stdout.splitlines()[-1])


def measure_steps(name: str) -> list[dict]:
    import lancedb  # noqa: F401  (importing is not a step)

    import labelaudit
    from labelaudit.ranking.evidence import gather
    from labelaudit.review.queue import QueueFilter, Review, make_queue

    rows: list[dict] = []
    asked()

    @contextmanager
    def step(title: str):
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        requests = asked()
        kinds = Counter(request["kind"] for request in requests)
        rows.append({
            "step": title, "requests": len(requests), "lists": kinds["LIST"],
            "gets": kinds["GET"] + kinds["HEAD"], "writes": kinds["PUT"] + kinds["POST"],
            "MB": round(sum(request["bytes"] for request in requests) / 1e6, 2),
            "seconds": round(seconds, 2),
        })  # fmt: skip

    def page(start: int) -> None:
        samples = list(view.skip(start).limit(PAGE).iter_samples())
        assert len(samples) == PAGE
        assert all(sample.image.width for sample in samples)

    def card(sample_id: int) -> None:
        (found,) = gather(dataset, run, [sample_id])
        near = [other for other, *_ in found.neighbours]
        samples = dataset.view(run).samples(np.array([sample_id, *near]))
        assert len(near) > 1
        assert all(sample.image.width for sample in samples)

    with step("open it, with what the sidebar shows"):
        dataset = labelaudit.Dataset(name)
        len(dataset), dataset.offered_classes, dataset.view().count_values("tags")
    with step("its info, besides: splits, runs, noise"):
        info = dataset.info
    run, ids = info["runs"][-1], dataset.view().ids
    view = dataset.view().match(split="train").exclude_tag("removed").sort_by("suspicion", True)
    with step(f"first page of a ranking, filtered: {PAGE} images"):
        page(0)
    with step("the next page"):
        page(PAGE)
    with step("a page far down"):
        page(int(0.9 * len(view)))
    with step("class-pair counts"):
        dataset.view().class_pairs()
    with step("a queue to review"):
        queue = make_queue(dataset, QueueFilter(run), "me")
    for number in range(CARDS):
        with step(("first card, with evidence", "the next card", "another card")[number]):
            card(int(queue.ids[number]))
    review = Review(dataset, "me")
    for number in range(CARDS):
        with step(("first verdict", "the next verdict", "another verdict")[number]):
            review.decide(int(queue.ids[number]), "keep")
    with step("a page after verdicts"):
        page(2 * PAGE)
    with step("tag 1,000 samples"):
        dataset.tag(ids[:1000], "x")
    with step("a page after that"):
        page(3 * PAGE)
    with tempfile.TemporaryDirectory() as folder, step("CSV of all"):
        labelaudit.write_suspects(dataset.view(), Path(folder, "all.csv"))
    return rows


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
