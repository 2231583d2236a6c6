"""How fast the similarity map of the Insights page is, in the real app in headless Chromium: from
the click until it is drawn, what is sent for it, how long it takes to paint all dots, from a move
of the pointer to the image of the dot below it, and from the end of a lasso to the selected images.

    python benchmarks/sample_map.py --samples 10000 100000
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from common import fresh_home, save
from review import synthetic

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from app_server import browser_page, serve

HOVERS, LASSOS, CORNERS, PAINTS = 20, 6, 40, 10
FIND = """const find = () => [...document.querySelectorAll("*")]
  .map((each) => (each.shadowRoot ?? each).map).find((map) => map?.points)"""
# Milliseconds from the click until the dots are on the screen.
DRAWN = f"""() => {{
  {FIND}
  window.taken = new Promise((done) => window.addEventListener("click", (event) => {{
    const look = (now) => {{
      const map = find()
      if (!map || map.pending || !map.canvas.width) return requestAnimationFrame(look)
      requestAnimationFrame((now) => done(now - event.timeStamp))
    }}
    look()
  }}, {{ capture: true, once: true }}))
}}"""
# Milliseconds to paint all dots; reading a pixel waits until that has been done.
PAINT = f"""() => {{
  {FIND}
  const map = find(), begun = performance.now()
  map.moved = map.stale = true
  map.paint()
  map.layer.getContext("2d").getImageData(0, 0, 1, 1)
  return performance.now() - begun
}}"""
# Milliseconds from an event until a condition holds, checked in each frame.
UNTIL = f"""([kind, wanted]) => {{
  {FIND}
  const map = find()
  const holds = {{
    image: () => map.hover.querySelector("img") && !map.hover.hidden,
    cards: () => map.cards.querySelectorAll("img").length > 0 && map.selected.size > 0,
  }}[wanted]
  window.taken = new Promise((done) => map.canvas.addEventListener(kind, (event) => {{
    const look = (now) => (holds() ? done(now - event.timeStamp) : requestAnimationFrame(look))
    requestAnimationFrame(look)
  }}, {{ once: true }}))
}}"""
DOTS = f"""(count) => {{
  {FIND}
  const map = find(), box = map.canvas.getBoundingClientRect(), step = map.points.id.length / count
  return [...Array(count).keys()].map((i) => map.at(Math.floor(i * step)))
    .map(([x, y]) => [box.left + x, box.top + y])
}}"""


def measure(samples: int) -> dict[str, list[float]]:
    """Times in milliseconds, and what was sent in MB."""
    with fresh_home() as home:
        synthetic(samples, scores=["suspicion", "self_confidence"])
        with serve(home, home / "server.log") as address, browser_page() as page:
            received: list[int] = []
            page.on(
                "websocket",
                lambda socket: socket.on("framereceived", lambda data: received.append(len(data))),
            )
            page.goto(f"{address}/insights")
            page.get_by_role("radio", name="Similarity map").wait_for()
            page.wait_for_timeout(3000)
            received.clear()
            page.evaluate(DRAWN)
            page.get_by_role("radio", name="Similarity map").click()
            times = {"until it is drawn": [page.evaluate("window.taken")]}
            page.wait_for_timeout(1000)
            times["sent for it, MB"] = [sum(received) / 1e6]
            times["painting all dots"] = [page.evaluate(PAINT) for _ in range(PAINTS)]
            dots = page.evaluate(DOTS, HOVERS)
            times["image of a dot"] = [hover(page, *dot) for dot in dots]
            times["lasso"] = [lasso(page, turn) for turn in range(LASSOS)]
            times["image of a dot, with a selection"] = [hover(page, *dot) for dot in dots]
    return times


def hover(page, x: float, y: float) -> float:
    page.mouse.move(2, 2)  # no dot is pointed at
    page.wait_for_timeout(300)
    page.evaluate(UNTIL, ["pointermove", "image"])
    page.mouse.move(x, y)
    taken = page.evaluate("window.taken")
    page.wait_for_timeout(200)
    return taken


def lasso(page, turn: int) -> float:
    """Draw around the middle of the map. Returns milliseconds from the end until images are
    beside it."""
    page.get_by_role("button", name="Select none").dispatch_event("click")
    page.wait_for_timeout(500)
    box = page.locator(".plot canvas").bounding_box()
    middle = np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    for i in range(CORNERS + 1):
        angle = 2 * np.pi * i / CORNERS
        radius = (0.2 + 0.04 * turn) * min(box["width"], box["height"])
        page.mouse.move(*(middle + radius * np.array([np.cos(angle), np.sin(angle)])))
        if i == 0:
            page.mouse.down()
    page.evaluate(UNTIL, ["pointerup", "cards"])
    page.mouse.up()
    taken = page.evaluate("window.taken")
    page.wait_for_timeout(1000)
    return taken


def server_seconds(samples: int) -> float:
    """CPU-seconds of the library calls that make the map."""
    import labelaudit
    from labelaudit.ranking import insights

    with fresh_home():
        synthetic(samples, scores=["suspicion", "self_confidence"])
        dataset = labelaudit.load_dataset(labelaudit.list_datasets()[0])
        begun = time.process_time()
        view, marked = dataset.view(), labelaudit.suspects(dataset)
        ids = insights.choose_points(view, marked)
        points = insights.embedding_map(dataset.run(), ids)
        insights.describe_points(view, points, marked)
        return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, nargs="*", default=[10_000, 100_000])
    rows = []
    for samples in parser.parse_args().samples:
        print(f"load before {samples:,}: {os.getloadavg()[0]:.1f}", flush=True)
        print(f"server: {server_seconds(samples):.1f} CPU-s", flush=True)
        for what, times in measure(samples).items():
            rows.append(
                {"samples": samples, "what": what, "times": len(times), "median": np.median(times),
                 "95 %": np.percentile(times, 95), "most": max(times)}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda v: f"{v:.1f}"))
    save("sample_map", {"rows": table.to_dict("records")})


if __name__ == "__main__":
    main()
