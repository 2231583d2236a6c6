"""How fast the review page answers, in the real app in headless Chromium: from the press of a key
to the next image on the screen, from a filter's change to its first image, from a turn of the board
to all images of the page, from the zoom to the image at full resolution, and from the key to the
grid of similar images. Before that, without the app: the library call that finds similar images.

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
from common import Steps, fresh_home, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from app_server import browser_page, serve

VERDICTS, TURNS, FILTERS, ZOOMS, SIMILAR, CALLS = 100, 12, 12, 20, 30, 50
CLASSES, EPOCHS, WIDTH = 10, 12, 128  # of the synthetic run; a first look stores 128 components
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
# The next key press puts the time until the cards of another view, with all images, are on the
# screen into `window.taken`. Components are in shadow trees.
NEXT_CARDS = """() => {
  const every = () => [...document.querySelectorAll("*")]
  const hosts = () => every().map((each) => each.shadowRoot).filter(Boolean)
  const cards = () => hosts().flatMap((host) => [...host.querySelectorAll(".cards > .card")])
  window.taken = new Promise((done) => window.addEventListener("keydown", (event) => {
    const look = async () => {
      const shown = cards()
      if (!shown.length) return requestAnimationFrame(look)
      const images = shown.flatMap((card) => [...card.querySelectorAll("img")])
      await Promise.all(images.map((image) => image.decode().catch(() => {})))
      requestAnimationFrame((now) => done(now - event.timeStamp))
    }
    look()
  }, { capture: true, once: true }))
}"""


def synthetic(
    samples: int, shape: tuple[int, ...] = (8, 8), scores: list[str] | None = None
) -> list[str]:
    """A dataset of so many small images, with noise, predictions, dynamics and scores (None: all).
    Returns its classes."""
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
    steps = Steps()
    with steps.step("index of the embeddings"):
        run.index_embeddings()
    with steps.step("all scores"):
        labelaudit.compute_scores(dataset, names=scores)
    print(pd.DataFrame(steps.rows).to_string(index=False), flush=True)
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
        times = {"similar, library call": similar_calls()}
        with serve(home, home / "server.log") as address, browser_page() as page:
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
    page.evaluate(NEXT_CARDS)
    page.keyboard.press("s")
    taken = page.evaluate("window.taken")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Back to the suspect").click()
    page.locator(".stage img").wait_for()
    page.wait_for_timeout(500)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(1000)
    return taken


def similar_calls() -> list[float]:
    """Milliseconds of the library call for each of some samples of the only dataset."""
    import labelaudit
    from labelaudit.review.queue import SIMILAR as MOST

    dataset = labelaudit.load_dataset(labelaudit.list_datasets()[0])
    run, ids = dataset.run(), dataset.view().ids
    times = []
    for sample in np.random.default_rng(3).choice(ids, CALLS, replace=False):
        begun = time.perf_counter()
        run.neighbours([sample], MOST)
        times.append(1000 * (time.perf_counter() - begun))
    return times


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
            late, target = np.percentile(times, 95), TARGETS.get(action)
            rows.append(
                {"samples": name, "action": action, "times": len(times),
                 "median ms": np.median(times), "95 % ms": late, "slowest ms": max(times),
                 "target": target, "": "missed" if target and late > target else ""}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    used = sum(resource.getrusage(who).ru_utime for who in CPU)
    print(f"{used:.0f} CPU-s in all, with making the datasets")
    print(table.to_string(index=False, na_rep="", float_format=lambda v: f"{v:.0f}"))
    save("review", {"rows": table.to_dict("records")})


if __name__ == "__main__":
    main()
