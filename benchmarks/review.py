"""How fast the review page answers, in the real app in headless Chromium: from the press of a key
to the next image on the screen, from a filter's change to its first image, from a turn of the board
to all images of the page, from the zoom to the image at full resolution, and from the key to the
grid of similar images.

    python benchmarks/review.py --samples 1797 1000000 --data ../shared/data/clothing/photos.zip
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from common import fresh_home, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from app_server import browser_page, serve

VERDICTS, TURNS, FILTERS, ZOOMS, SIMILAR = 100, 12, 12, 20, 12
CLASSES, EPOCHS, WIDTH = 10, 12, 64  # of the synthetic run: WIDTH numbers an embedding
REVIEWED = 50_000  # verdicts in the log already, at most a tenth of the samples
IMAGES = 1_000  # different ones; the others repeat them
BATCH = 50_000
CPU = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
TARGETS = {"verdict": 300, "grid": 500, "zoom": 500, "similar": 500}  # 95th percentile, ms

# Notes when a key or a click comes, and when what it changes has been drawn: an image is waited for
# until it is decoded, then for the next frame. watched: of `MutationObserver.observe`.
CLOCK = """(area, watched) => {
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
  }).observe(area, watched)
}"""
DRAWN = {"childList": True}
REPLACED = {"subtree": True, "attributeFilter": ["src"]}
DECODED = """async (card) => {
  const images = [...card.parentElement.querySelectorAll("img")]
  await Promise.all(images.map((image) => image.decode().catch(() => {})))
}"""


def synthetic(samples: int, shape: tuple[int, ...] = (8, 8)) -> list[str]:
    """A dataset of so many small images, with noise, predictions, dynamics and scores. Returns its
    classes."""
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
    return names


def timed(page, act, count: int) -> list[float]:
    """Milliseconds from each of `count` presses or clicks to what it shows."""
    page.evaluate("clock.times = []")
    for number in range(count):
        act(number)
        page.wait_for_function(f"clock.times.length > {number}")
        page.wait_for_timeout(150)  # a person looks; the server may tidy up
    return page.evaluate("clock.times")


def photographs(source: str) -> list[str]:
    """A first look at a dataset of one's own. Returns its classes."""
    import labelaudit
    from labelaudit.pipeline import take_first_look

    dataset = labelaudit.load_dataset("photographs", source)
    take_first_look(dataset)
    return dataset.classes


def measure(make: Callable[[], list[str]]) -> dict[str, list[float]]:
    """Times of each action on the dataset that `make` makes in an empty home."""
    with fresh_home() as home:
        classes = make()
        with serve(home, home / "server.log") as address, browser_page() as page:
            times = {}
            page.goto(f"{address}/review")
            page.locator(".stage img").wait_for(timeout=300_000)
            page.wait_for_timeout(2000)
            page.locator(".stage").evaluate(CLOCK, DRAWN)
            times["verdict"] = timed(page, lambda i: page.keyboard.press("ak"[i % 2]), VERDICTS)
            times["undo"] = timed(page, lambda i: page.keyboard.press("z"), 10)
            times["back and forth"] = timed(
                page, lambda i: page.keyboard.press(["ArrowLeft", "ArrowRight"][i % 2]), 20
            )
            times["filter"] = timed(
                page, lambda i: choose(page, classes[i % len(classes)]), FILTERS
            )
            page.goto(f"{address}/review?show=all+suspects")
            page.locator(".stage img").wait_for(timeout=300_000)
            page.wait_for_timeout(2000)
            page.locator(".stage").evaluate(CLOCK, REPLACED)
            if not page.locator(".stage img.crisp").count():  # small images have no other size
                times["zoom"] = timed(page, lambda _: zoom(page), ZOOMS)
            times["similar"] = [similar(page) for _ in range(SIMILAR)]
            page.goto(f"{address}/review?mode=Many+at+once&show=all+suspects")
            page.locator(".card").first.wait_for(timeout=300_000)
            page.wait_for_timeout(2000)
            page.locator(".cards").evaluate(CLOCK, DRAWN)
            times["grid"] = timed(page, lambda i: turn(page, i), TURNS)
    return times


def choose(page, name: str) -> None:
    page.wait_for_timeout(500)  # a run of the page's script would close the list
    box = page.get_by_role("combobox", name="Given").first
    box.click()
    box.fill(name)  # the list holds only the options in sight
    page.get_by_role("option", name=name, exact=True).click()


def zoom(page) -> None:
    """Zoom into the next image."""
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1000)  # the next image is there
    page.keyboard.press("+")


def similar(page) -> float:
    """Show all similar images, and go on to the next sample. Returns milliseconds."""
    begun = time.perf_counter()
    page.keyboard.press("s")
    card = page.locator(".card").first
    card.wait_for()
    card.evaluate(DECODED)
    taken = time.perf_counter() - begun
    page.get_by_role("button", name="Back to the suspect").click()
    page.locator(".stage img").wait_for()
    page.wait_for_timeout(500)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1000)
    return 1000 * taken


def turn(page, number: int) -> None:
    """Last page, the one before, the middle, the first, the second …"""
    kind = ["Last", "Back", "First", "Next"][number % 4]
    page.get_by_role("button", name=kind).click()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, nargs="*", default=[1_797, 1_000_000])
    parser.add_argument("--data", nargs="*", default=[], help="datasets of one's own, to load")
    options = parser.parse_args()
    makers = {f"{n:,} synthetic": partial(synthetic, n) for n in options.samples}
    makers |= {source: partial(photographs, source) for source in options.data}
    rows = []
    for name, make in makers.items():
        print(f"load before {name}: {os.getloadavg()[0]:.1f}", flush=True)
        for action, times in measure(make).items():
            rows.append(
                {"samples": name, "action": action, "times": len(times),
                 "median ms": np.median(times), "95 % ms": np.percentile(times, 95),
                 "slowest ms": max(times), "target": TARGETS.get(action)}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    used = sum(resource.getrusage(who).ru_utime for who in CPU)
    print(f"{used:.0f} CPU-s in all, with making the datasets")
    print(table.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.0f}"))
    save("review", {"rows": table.to_dict("records")})


if __name__ == "__main__":
    main()
