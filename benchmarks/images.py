"""Files on their way in: loading, resuming a load that was stopped half-way, and training that
decodes as it goes against training on images held in memory.

    python benchmarks/images.py --files 20000 --side 128
    python benchmarks/images.py --files 1000000 --side 32 --no-train    # half an hour
"""

from __future__ import annotations

import argparse
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from common import Steps, fresh_home, save
from PIL import Image

from labelaudit.core.progress import Task

CLASSES = 10
A_FOLDER = 1000  # files


def write_files(folder: Path, files: int, side: int) -> None:
    """JPEGs of soft colours, one in ten of each class; a few hundred pictures, each many times
    under names of its own (hard links: what is read is files, not the disk)."""
    rng = np.random.default_rng(0)
    made = folder / "made"
    made.mkdir(parents=True)
    originals = []
    for i in range(min(files, 500)):
        small = rng.integers(0, 255, (8, 8, 3), np.uint8)
        path = made / f"{i:03}.jpg"
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path)
        originals.append(path)
    for start in range(0, files, A_FOLDER):
        for name in range(CLASSES):
            (folder / "pets" / f"class {name}" / f"{start:07}").mkdir(parents=True)
        for i in range(start, min(start + A_FOLDER, files)):
            place = folder / "pets" / f"class {i % CLASSES}" / f"{start:07}" / f"{i:07}.jpg"
            place.hardlink_to(originals[i % len(originals)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    import torch  # noqa: F401  (imports are no step)

    import labelaudit
    from labelaudit.core.errors import StoppedError
    from labelaudit.learn.train import train

    steps, rates = Steps(), {}
    with fresh_home() as home:
        write_files(home, options.files, options.side)
        with steps.step("load"):
            dataset = labelaudit.load_dataset("whole", home / "pets")
        asked = count()
        half = options.files // 1000 // 2
        with steps.step("load, stopped half-way"):
            try:
                labelaudit.load_dataset(
                    "pets", home / "pets", task=Task(stop=lambda: next(asked) >= half)
                )
            except StoppedError as error:
                print(error)
        with steps.step("load, resumed"):
            labelaudit.load_dataset("pets", home / "pets")
        if options.train:
            for name, held in (("in memory", 1e3), ("streamed", 0.0)):
                config = labelaudit.TrainConfig(
                    epochs=options.epochs, memory_gb=held, threads=1, image_size=32
                )
                with steps.step(f"train, {name}"):
                    run = train(dataset, config=config)
                seconds = run.info["curves"][-1]["seconds"]
                seen = run.info["learned"] + len(dataset)  # learned, then looked at
                rates[name] = seen * options.epochs / seconds
    title = f"{options.files:,} JPEG files of {options.side} pixels"
    table = pd.DataFrame(steps.rows)
    table["files/s"] = (options.files / table["seconds"]).round()
    print(f"{title}\n\n{table.to_string(index=False)}\n")
    if rates:
        share = rates["streamed"] / rates["in memory"]
        print(f"training: {rates['in memory']:,.0f} images/s in memory, {rates['streamed']:,.0f} "
              f"streamed: {share:.0%}")  # fmt: skip
    save(
        f"images-{options.files}-{options.side}",
        {"title": title, "steps": steps.rows, "images_a_second": rates},
    )


if __name__ == "__main__":
    main()
