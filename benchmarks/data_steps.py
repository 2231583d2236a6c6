"""The steps between the model and the reviewer, on synthetic rows: seconds, CPU-seconds and peak
memory, next to the time of FiftyOne 1.22 on a similar machine.

    python benchmarks/data_steps.py --samples 50000
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
from common import Steps, fresh_home, save

PAGE = "first 100 by hardness with a tag"
EDITS = "tag and relabel each sample in a loop"
PREDICTIONS = "add predictions with logits one by one"
# seconds at 50,000 samples and 10 classes, as the design notes give them
FIFTYONE = {
    "add samples": 14.7,
    "write predictions": 6.8,
    "hardness": 43.5,
    "mistakenness": 43.5,
    PAGE: 0.05,
    "CSV of the suspects": 0.64,
    EDITS: 50.0,  # at 1 ms an edit
    PREDICTIONS: 46.8,
}
TARGETS = {
    "add samples": 1.5,
    "write predictions": 1.0,
    "hardness": 0.5,
    "mistakenness": 0.5,
    PAGE: 0.05,
    EDITS: 5.0,
    PREDICTIONS: 10.0,
}
BATCH = 10_000  # predictions handed over at once, as predict() does
REPEATS = 5  # each on a dataset of its own; the median is shown


def once(home, name: str, samples: int, classes: int, steps: Steps) -> None:
    import labelaudit
    from labelaudit.dataset.dataset import create_dataset

    rng = np.random.default_rng(0)
    names = [f"class {i}" for i in range(classes)]
    labels = rng.integers(0, classes, samples)
    rows = pd.DataFrame(
        {
            "filepath": [f"/data/{i:07}.png" for i in range(samples)],
            "label": np.array(names)[labels],
            "split": "train",
        }
    )
    logits = rng.normal(size=(samples, classes)).astype(np.float32)
    logits[np.arange(samples), labels] += 3
    with steps.step("add samples"):
        dataset = create_dataset(name, rows, classes=names)
    with steps.step("inject noise"):
        labelaudit.inject_noise(dataset, 0.2)
    run = dataset.new_run()
    run.finish({"classes": names, "config": {}})
    ids = dataset.view().ids
    with steps.step("write predictions"):
        run.write_predictions((ids[s : s + BATCH], logits[s : s + BATCH])
                              for s in range(0, samples, BATCH))  # fmt: skip
    with steps.step("tag all"):
        dataset.view().tag("processed")
    for score in ("hardness", "mistakenness"):
        with steps.step(score):
            labelaudit.compute_scores(dataset, names=[score])
    for handle in ("just opened", "in use"):
        step = PAGE if handle == "in use" else f"{PAGE}, {handle}"
        dataset = dataset if handle == "in use" else labelaudit.Dataset(name)
        with steps.step(step):
            tagged = dataset.view().match_tag("mistake")
            page = tagged.sort_by("hardness", reverse=True).limit(100).to_pandas()
        assert len(page) == min(100, round(0.2 * samples))
    with steps.step("CSV of the suspects"):
        found = labelaudit.suspects(dataset, score="mistakenness")
        labelaudit.write_suspects(found, home / "suspects.csv")
    loops(dataset, logits, steps)


def loops(dataset, logits: np.ndarray, steps: Steps) -> None:
    """The same changes sample by sample in Python, as in FiftyOne's walkthrough."""
    names = dataset.classes
    with steps.step(EDITS):
        for sample in dataset.iter_samples(autosave=True):
            sample.tag("seen")
            sample.ground_truth = names[(names.index(sample.ground_truth) + 1) % len(names)]
    assert len(dataset.view().match_tag("seen")) == len(dataset)
    with steps.step(PREDICTIONS), dataset.batch_edits():
        for sample_id, row in zip(dataset.view().ids.tolist(), logits, strict=True):
            sample = dataset[sample_id]
            sample.add_prediction(row, "one-by-one")
            sample.tag("predicted")
    assert len(dataset.run("one-by-one").predicted_ids()) == len(dataset)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=10)
    options = parser.parse_args()

    with fresh_home() as home:
        once(home, "warm-up", 1_000, options.classes, Steps())  # imports are no step
        steps = Steps()
        for repeat in range(REPEATS):
            once(home, f"rows-{repeat}", options.samples, options.classes, steps)
    every = pd.DataFrame(steps.rows)
    table = every.groupby("step", sort=False).agg(
        seconds=("seconds", "median"),
        cpu=("cpu_seconds", "median"),
        slowest=("seconds", "max"),
        peak_mb=("peak_mb", "max"),
    )
    table["target"] = table.index.map(TARGETS)
    table["fiftyone"] = table.index.map(FIFTYONE)
    if options.samples != 50_000 or options.classes != 10:
        table = table.drop(columns=["target", "fiftyone"])
    title = f"{options.samples:,} samples, {options.classes} classes, median of {REPEATS}"
    print(f"{title}\n")
    print(table.reset_index().to_string(index=False, na_rep=""))
    save(
        f"data-steps-{options.samples}",
        {"title": title, "steps": table.reset_index().to_dict("records")},
    )


if __name__ == "__main__":
    main()
