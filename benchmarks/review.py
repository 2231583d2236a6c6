"""How fast the review page answers, in the real app in headless Chromium: from the press of a key
to the next image on the screen, from a filter's change to its first image, from a turn of the board
to all images of the page.

    python benchmarks/review.py --samples 1797 1000000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from common import fresh_home, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from app_server import browser_page, serve

VERDICTS, TURNS, FILTERS = 100, 12, 12
CLASSES, EPOCHS, WIDTH = 10, 12, 64  # of the synthetic run: WIDTH numbers an embedding
REVIEWED = 50_000  # verdicts in the log already, at most a tenth of the samples
IMAGES = 1_000  # different ones; the others repeat them
BATCH = 50_000
TARGETS = {"verdict": 300, "grid": 500}  # 95th percentile, ms

# Notes when a key or a click comes, and when what it changes has been drawn: an image is waited for
# until it is decoded, then for the next frame.
CLOCK = """(area) => {
  const clock = (window.clock = { times: [], begun: null })
  const begin = (event) => { clock.begun = event.timeStamp }
  for (const kind of ["keydown", "click"]) window.addEventListener(kind, begin, true)
  new MutationObserver(async () => {
    const begun = clock.begun
    if (begun === null) return
    clock.begun = null
    const images = [...area.querySelectorAll("img")]
    await Promise.all(images.map((image) => image.decode().catch(() => {})))
    requestAnimationFrame((now) => clock.times.push(now - begun))
  }).observe(area, { childList: true })
}"""


def synthetic(samples: int, shape: tuple[int, ...] = (8, 8)) -> None:
    """A dataset of so many small images, with noise, predictions, dynamics and scores."""
    import labelaudit
    from labelaudit.core.images import encode
    from labelaudit.dataset.dataset import create_dataset

    rng = np.random.default_rng(0)
    names = [f"class {i}" for i in range(CLASSES)]
    pngs = [encode(rng.integers(0, 255, shape, np.uint8)) for _ in range(IMAGES)]
    labels = rng.integers(0, CLASSES, samples)

    def rows():
        for start in range(0, samples, BATCH):
            at = range(start, min(start + BATCH, samples))
            yield pd.DataFrame(
                {"image": [pngs[i % IMAGES] for i in at],
                 "label": np.array(names)[labels[at.start : at.stop]], "split": "train"}
            )  # fmt: skip

    batches = (pa.RecordBatch.from_pandas(batch) for batch in rows())
    dataset = create_dataset("synthetic", batches, classes=names)
    labelaudit.inject_noise(dataset, 0.2, seed=1)
    ids, given = dataset.view().ids, dataset.view().frame.label
    centres = rng.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    run = dataset.new_run()
    medians = []
    for epoch in range(1, EPOCHS + 1):
        sure = epoch / EPOCHS
        right = labels == given
        p = np.where(right, sure, 1 - sure) * rng.beta(8, 2, samples)
        run.append_dynamics(epoch, ids, given, (8 * p - 4).astype(np.float32), p.astype(np.float32))
        medians.append([float(np.median(p[given == c])) for c in range(CLASSES)])
    run.finish({"classes": names, "config": {}, "class_curves": medians,
                "validation_accuracy": 0.8})  # fmt: skip

    def predictions():
        for start in range(0, samples, BATCH):
            part = labels[start : start + BATCH]
            logits = rng.normal(size=(len(part), CLASSES)).astype(np.float32)
            logits[np.arange(len(part)), part] += 6
            noise = rng.normal(size=(len(part), WIDTH)).astype(np.float32)
            yield ids[start : start + BATCH], logits, centres[part] + noise

    run.write_predictions(predictions())
    run.index_embeddings()
    labelaudit.compute_scores(dataset)
    others = ids[:: max(samples // REVIEWED, 1)][: min(REVIEWED, samples // 10)]
    labelaudit.Review(dataset, "another").decide(others, "keep")


def timed(page, act, count: int) -> list[float]:
    """Milliseconds from each of `count` presses or clicks to what it shows."""
    page.evaluate("clock.times = []")
    for number in range(count):
        act(number)
        page.wait_for_function(f"clock.times.length > {number}")
        page.wait_for_timeout(150)  # a person looks; the server may tidy up
    return page.evaluate("clock.times")


def measure(samples: int) -> dict[str, list[float]]:
    with fresh_home() as home:
        synthetic(samples)
        with serve(home, home / "server.log") as address, browser_page() as page:
            times = {}
            page.goto(f"{address}/review")
            page.locator(".stage img").wait_for(timeout=300_000)
            page.wait_for_timeout(2000)
            page.locator(".stage").evaluate(CLOCK)
            times["verdict"] = timed(page, lambda i: page.keyboard.press("ak"[i % 2]), VERDICTS)
            times["undo"] = timed(page, lambda i: page.keyboard.press("z"), 10)
            times["back and forth"] = timed(
                page, lambda i: page.keyboard.press(["ArrowLeft", "ArrowRight"][i % 2]), 20
            )
            times["filter"] = timed(page, lambda i: choose(page, f"class {i % CLASSES}"), FILTERS)
            page.goto(f"{address}/review?mode=Many+at+once&show=all+suspects")
            page.locator(".card").first.wait_for(timeout=300_000)
            page.wait_for_timeout(2000)
            page.locator(".cards").evaluate(CLOCK)
            times["grid"] = timed(page, lambda i: turn(page, i), TURNS)
    return times


def choose(page, name: str) -> None:
    page.get_by_label("Given").first.click()
    page.get_by_role("option", name=name, exact=True).click()


def turn(page, number: int) -> None:
    """Last page, the one before, the middle, the first, the second …"""
    kind = ["Last", "Back", "First", "Next"][number % 4]
    page.get_by_role("button", name=kind).click()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, nargs="+", default=[1_797, 1_000_000])
    options = parser.parse_args()
    rows = []
    for samples in options.samples:
        for action, times in measure(samples).items():
            rows.append(
                {"samples": samples, "action": action, "times": len(times),
                 "median ms": np.median(times), "95 % ms": np.percentile(times, 95),
                 "slowest ms": max(times), "target": TARGETS.get(action)}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.0f}"))
    save("review", {"rows": table.to_dict("records")})


if __name__ == "__main__":
    main()
