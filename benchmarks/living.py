"""What following a source costs: sync, audit of what is new, and labels written back.

    python benchmarks/living.py                     # 1,000,000 files
    python benchmarks/living.py --files 100000 --photos 1000

Files are hard links to a few images, each with its own path, and are not decoded when they are
loaded: only the sync is measured. The photographs are noise; their features take as long as those
of others. Seconds are those of the processor, of all threads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from common import fresh_home, save
from PIL import Image

import labelaudit
from labelaudit.living.write_back import write_back
from labelaudit.sources import source as source_module

CLASSES, CHANGED, LINKS = 100, 1000, 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=2000, help="0 leaves the audit out")
    parser.add_argument("--new", type=int, default=100)
    options = parser.parse_args()
    rows: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, fresh_home():
        measure_sync(Path(folder), options.files, rows)
        measure_write_back(Path(folder), options.files, rows)
        if options.photos:
            measure_audit(Path(folder), options.photos, options.new, rows)
    save("living", {**vars(options), "processor_seconds": rows})


def timed(rows: dict[str, float], name: str, call):
    """Call it, note and print its processor-seconds."""
    start, wall = time.process_time(), time.monotonic()
    result = call()
    rows[name] = round(time.process_time() - start, 2)
    print(f"{name:60} {rows[name]:8.1f} CPU-s {time.monotonic() - wall:8.1f} s", flush=True)
    return result


def make_links(folder: Path, count: int, start: int = 0) -> None:
    """Make so many files: c00/000000.png …"""
    rng = np.random.default_rng(0)
    for i in range(start, start + count):
        original = folder.parent / f"original-{i // LINKS}.png"
        if not original.exists():
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(original)
        place = folder / f"c{i % CLASSES:02}"
        if i - start < CLASSES:
            place.mkdir(parents=True, exist_ok=True)
        os.link(original, place / f"{i:07}.png")


def known_image(row):
    """Take an image as read: width, height, no problem, not grey, its hash."""
    return 8, 8, None, None, row["filepath"].encode()[-32:].rjust(32, b"0")


def measure_sync(folder: Path, count: int, rows: dict[str, float]) -> None:
    root = folder / "links"
    make_links(root, count)
    real, source_module.check_image = source_module.check_image, known_image
    dataset = labelaudit.load_dataset("links", root)
    plan = timed(rows, f"sync of {count:,} unchanged files", lambda: labelaudit.plan_sync(dataset))
    assert not len(plan)
    make_links(root, CHANGED, count)
    for i in range(CHANGED):
        (root / f"c{i % CLASSES:02}/{i:07}.png").unlink()
    what = f"{CHANGED:,} new and {CHANGED:,} deleted of {count:,}"
    plan = timed(rows, f"sync of {what}", lambda: labelaudit.plan_sync(dataset))
    assert (plan.counts["added"], plan.counts["gone"]) == (CHANGED, CHANGED)
    timed(rows, f"  taking over {what}", lambda: labelaudit.apply_sync(dataset, plan))
    source_module.check_image = real


def measure_write_back(folder: Path, count: int, rows: dict[str, float]) -> None:
    root = folder / "list"
    root.mkdir()
    original = folder / "original-0.png"
    os.link(original, root / "one.png")
    lines = [f'one.png,"c{i % CLASSES:02}",{i},"a ""note"", {i}"\n' for i in range(count)]
    (root / "labels.csv").write_text("".join(["filepath,label,number,note\n", *lines]))
    real, source_module.check_image = source_module.check_image, known_image
    dataset = labelaudit.load_dataset("list", root / "labels.csv")
    source_module.check_image = real
    ids = dataset.view().ids[:: count // CHANGED][:CHANGED]
    dataset.set_labels(ids, "c01")
    out = folder / "out.csv"
    name = f"write-back of {len(ids):,} labels in a CSV of {count:,} rows"
    timed(rows, name, lambda: write_back(dataset, out))
    before, after = (path.read_text().split("\n") for path in (root / "labels.csv", out))
    differ = sum(a != b for a, b in zip(before, after, strict=True))
    print(f"  {differ:,} lines differ")


def measure_audit(folder: Path, count: int, new: int, rows: dict[str, float]) -> None:
    root = folder / "photos"
    rng = np.random.default_rng(1)

    def photos(start: int, number: int) -> None:
        for i in range(start, start + number):
            place = root / f"c{i % 10}" / f"{i}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 255, (28, 28, 3), dtype=np.uint8)
            pixels[:, :, i % 3] //= 1 + i % 10
            Image.fromarray(pixels).resize((224, 224)).save(place)

    photos(0, count)
    dataset = labelaudit.load_dataset("photos", root)
    labelaudit.audit(dataset, train=False)  # imports, compiles, and reads the weights
    photos(count, new)

    def follow() -> None:
        labelaudit.apply_sync(dataset, labelaudit.plan_sync(dataset))
        labelaudit.audit(dataset, train=False)

    timed(rows, f"sync and audit of {new:,} new beside {count:,} photographs", follow)
    fresh = labelaudit.load_dataset("fresh", root)
    name = f"audit of all {count + new:,} photographs from the start"
    timed(rows, name, lambda: labelaudit.audit(fresh, train=False))


if __name__ == "__main__":
    main()
