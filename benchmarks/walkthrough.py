"""The whole audit of N images: seconds, CPU-seconds and peak memory by step, average precision by
score.

    python benchmarks/walkthrough.py                          # digits
    python benchmarks/walkthrough.py --data ../shared/data/cifar10/train.zip --images 10000
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import pandas as pd
from common import Steps, fresh_home, save


def first_images(archive: Path, count: int, folder: Path) -> Path:
    """The first `count` rows of the manifest beside a CIFAR archive, as a smaller archive.

    The rows are in the published order, which mixes the classes.
    """
    rows = pd.read_csv(archive.with_suffix(".csv"), nrows=count)
    small = folder / f"{archive.stem}-{count}.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(small, "w") as target:
        for name in rows["filepath"]:
            target.writestr(name, source.read(name))
    return small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits", help="digits, or a zip with a csv beside it")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--noise", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--threads", type=int, help="of torch; measured if left out")
    options = parser.parse_args()

    import labelaudit
    from labelaudit.learn.predict import predict
    from labelaudit.learn.train import train

    steps = Steps()
    chosen = {"seed": options.seed, "threads": options.threads, "epochs": options.epochs}
    config = labelaudit.TrainConfig(**{k: v for k, v in chosen.items() if v is not None})
    with fresh_home() as home:
        source = None
        if options.data != "digits":
            source = first_images(Path(options.data), options.images, home)
        name = "digits" if source is None else "photographs"
        with steps.step("load"):
            dataset = labelaudit.load_dataset(name, source)
        with steps.step("noise"):
            labelaudit.inject_noise(dataset, options.noise, seed=options.seed)
        with steps.step("train"):
            run = train(dataset, config=config)
        with steps.step("predict"):
            predict(dataset)
        with steps.step("score"):
            labelaudit.compute_scores(dataset)
        with steps.step("rank"):
            table = labelaudit.evaluate(dataset.view())
            suspects = len(labelaudit.suspects(dataset))
        with steps.step("csv"):
            labelaudit.write_suspects(labelaudit.suspects(dataset), home / "suspects.csv")
        title = f"{len(dataset):,} images, {options.noise:.0%} noise, {config.epochs} epochs"
        print(title, f"\nvalidation accuracy {run.info['validation_accuracy']:.3f}\n")
        print(pd.DataFrame(steps.rows).to_string(index=False), "\n")
        print(table.round(4).to_string(index=False))
        save(
            f"walkthrough-{name}-{len(dataset)}",
            {
                "title": title,
                "steps": steps.rows,
                "scores": table.to_dict("records"),
                "suspects": suspects,
                "curves": run.info["curves"],
            },
        )


if __name__ == "__main__":
    main()
