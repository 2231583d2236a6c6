"""What following a source costs: sync, audit of what is new, and labels written back.

    python benchmarks/living.py                     # 1,000,000 files
    python benchmarks/living.py --files 100000 --known 10000 --new 100
    OMP_NUM_THREADS=1 nice python benchmarks/living.py --files 0    # the audits alone

Files are hard links to a few images, each with its own path, and are not decoded when they are
loaded: only the sync is measured. The known images of the audit are such links, too. Their
features, fingerprints and quality are random numbers of the real kinds, with a direction for each
class, so that the costs are those of photographs. The new photographs are noise; their features
take as long as those of others. Seconds are those of the processor, of all threads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import fresh_home, save
from PIL import Image

import labelaudit
from labelaudit import pipeline
from labelaudit.core.step_timer import StepTimer
from labelaudit.features.extraction import open_for
from labelaudit.features.stored import open_features
from labelaudit.living.write_back import write_back
from labelaudit.sources import source as source_module
from labelaudit.storage import schema

CLASSES, CHANGED, LINKS = 100, 1000, 50_000
FEATURES = "lite0"  # 1,752 numbers
AT_ONCE = 10_000  # images whose features are made at once
TARGET = 1.5  # cost of an audit of new images among known ones, over that of these images alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=1_000_000, help="0 leaves the syncs out")
    parser.add_argument("--known", type=int, default=100_000, help="0 leaves the audits out")
    parser.add_argument("--new", type=int, default=1_000)
    options = parser.parse_args()
    rows: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, fresh_home():
        if options.files:
            measure_sync(Path(folder), options.files, rows)
            measure_write_back(Path(folder), options.files, rows)
        if options.known:
            own = Path(folder, "audits")  # with images of its own: a file has at most 65,000 links
            own.mkdir()
            measure_audit(own, options.known, options.new, rows)
    save("living", {**vars(options), "processor_seconds": rows})


def timed(rows: dict[str, float], name: str, call):
    """Call it, note and print its processor-seconds."""
    start, wall = time.process_time(), time.monotonic()
    result = call()
    rows[name] = round(time.process_time() - start, 2)
    print(f"{name:60} {rows[name]:8.1f} CPU-s {time.monotonic() - wall:8.1f} s", flush=True)
    return result


def make_links(folder: Path, count: int, start: int = 0, classes: int = CLASSES) -> None:
    """Make so many files: c00/000000.png …"""
    rng = np.random.default_rng(0)
    for i in range(start, start + count):
        original = folder.parent / f"original-{i // LINKS}.png"
        if not original.exists():
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(original)
        place = folder / f"c{i % classes:02}"
        if i - start < classes:
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


class CpuTimer(StepTimer):
    """Prints the processor-seconds of the steps of an audit."""

    def __init__(self) -> None:
        super().__init__()
        self._cpu = time.process_time()

    def finish(self, step: str) -> None:
        super().finish(step)
        now = time.process_time()
        if now - self._cpu > 0.05:
            print(f"    {step:56} {now - self._cpu:8.1f} CPU-s", flush=True)
        self._cpu = now


def measure_audit(folder: Path, known: int, new: int, rows: dict[str, float]) -> None:
    pipeline.StepTimer = CpuTimer

    def audit(dataset) -> None:
        result = labelaudit.audit(dataset, train=False, features=FEATURES)
        print(f"  {result.training_note or 'fitted'}")

    photographs(folder / "few", 0, 200)
    audit(labelaudit.load_dataset("few", folder / "few"))  # imports and reads the weights
    dataset = known_photographs(folder / "known", known)
    name = f"audit of {known:,} photographs with stored features"
    timed(rows, name, lambda: audit(dataset))
    photographs(folder / "known", known, new)

    def follow() -> None:
        labelaudit.apply_sync(dataset, labelaudit.plan_sync(dataset))
        audit(dataset)

    both = f"sync and audit of {new:,} new beside {known:,} photographs"
    timed(rows, both, follow)
    photographs(folder / "alone", known, new)
    alone = f"load and audit of these {new:,} alone"
    timed(rows, alone, lambda: audit(labelaudit.load_dataset("alone", folder / "alone")))
    ratio = rows[both] / rows[alone]
    print(f"  {ratio:.1f} times the cost of the new alone; target {TARGET}: ", end="")
    print("met" if ratio <= TARGET else f"missed by {rows[both] - TARGET * rows[alone]:.0f} CPU-s")


def photographs(root: Path, start: int, count: int) -> None:
    """Make photographs of noise with names that follow those of `make_links`."""
    rng = np.random.default_rng(start)
    for i in range(start, start + count):
        place = root / f"c{i % 20:02}" / f"{i:07}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (28, 28, 3), dtype=np.uint8)
        pixels[:, :, i % 3] //= 1 + i % 10
        Image.fromarray(pixels).resize((224, 224)).save(place)


def known_photograph(row):
    """Take an image as read, like `known_image`, as one of 224 pixels."""
    return 224, 224, *known_image(row)[2:]


def known_photographs(root: Path, count: int):
    """Return a dataset of 20 classes with stored features, fingerprints and quality; 5 % of its
    labels are wrong."""
    make_links(root, count, classes=20)
    real, source_module.check_image = source_module.check_image, known_photograph
    dataset = labelaudit.load_dataset("known", root)
    source_module.check_image = real
    frame, rng = dataset.view().frame, np.random.default_rng(0)
    ids, size = frame.ids, len(frame.ids)
    shown = np.where(rng.random(size) < 0.05, rng.integers(0, 20, size), frame.label)
    extractor = open_for(frame, FEATURES, ids)
    width = extractor.width
    stored = open_features(frame, FEATURES, extractor.version, width, extractor.state)
    directions = rng.standard_normal((20, width)).astype(np.float32)
    for start in range(0, size, AT_ONCE):
        some = slice(start, start + AT_ONCE)
        noise = 6 * rng.standard_normal((len(ids[some]), width)).astype(np.float32)
        stored.append(ids[some], directions[shown[some]] + noise)
    thumbnails = rng.integers(0, 256, (size, schema.THUMBNAIL_SIDE**2), np.uint8)
    fingerprints = [pa.array(ids), pa.array(rng.integers(0, 1 << 62, size))]
    fingerprints.append(pa.array(map(bytes, thumbnails), schema.FINGERPRINTS.field(2).type))
    measures = rng.random((len(schema.QUALITY) - 1, size), np.float32)
    with frame.transaction():
        for table, kind, columns in (
            ("fingerprints", schema.FINGERPRINTS, fingerprints),
            ("quality", schema.QUALITY, [pa.array(ids), *map(pa.array, measures)]),
        ):
            frame.append(table, pa.table(columns, schema=kind), kind)
    return dataset


if __name__ == "__main__":
    main()
