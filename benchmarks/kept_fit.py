"""How well labels are ranked if new images are predicted with a first look's earlier fit.

    python benchmarks/kept_fit.py --images digits --seeds 0 1 2
    python benchmarks/kept_fit.py --images clothing --home /tmp/kept   # keeps the features there

Some labels are made wrong. The first look is fitted to all images, and to all but the last share of
them, which are then predicted with that fit. Printed are the average precision of suspicion among
all images and among the new ones, and the estimated number of wrong labels over the true one.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from common import fresh_home, save
from counting import flipped, scored
from detection_data import find_data, load_images
from detection_scores import average_precision

from labelaudit.scores.cross_fit import FeatureMap
from labelaudit.scores.out_of_sample import predict_out_of_sample

RATES, SHARES = (0.05, 0.2), (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
FEATURES = {"digits": "pixels"}  # of others: lite0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", nargs="+", default=["digits", "clothing"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--data", type=Path, help="the folder with cifar10 and clothing")
    parser.add_argument("--home", type=Path, help="keep the datasets and features in this folder")
    options = parser.parse_args()
    if options.home:
        os.environ["LABELAUDIT_HOME"] = str(options.home)
        measure_all(options, options.home)
    else:
        with fresh_home() as home:
            measure_all(options, home)


def measure_all(options: argparse.Namespace, home: Path) -> None:
    from labelaudit.features.choice import named_features

    found = []
    for images in options.images:
        dataset, truth = load_images(images, 0, options.data or find_data(), home)
        frame = dataset.view().frame
        chosen = named_features(frame, frame.ids, FEATURES.get(images, "lite0"))
        chosen.extract(frame.ids)
        blocks = chosen.read(frame.ids)
        for seed in options.seeds:
            for rate in RATES:
                rows = measure(blocks, chosen.least_deviations, truth, rate, seed)
                found += [{"images": images, "seed": seed, "rate": rate, **row} for row in rows]
    save("kept_fit", {"rows": found})


def measure(blocks: list, least: list, truth: np.ndarray, rate: float, seed: int) -> list[dict]:
    """Return a row for each share of new images; `new` is 0 for the fit to all images."""
    count, classes = len(truth), int(truth.max()) + 1
    rng = np.random.default_rng(seed)
    given = flipped(truth, rate, classes, rng)
    order, rows = rng.permutation(count), []
    for share in (0, *SHARES):
        new, known = np.split(order, [round(share * count)])
        known = np.sort(known)
        learned = [block[known] for block in blocks]
        joined = FeatureMap.fit(learned, [1.0], least)
        fit = predict_out_of_sample(joined.transform(learned), given[known], classes)
        logits = np.empty((count, classes), np.float32)
        logits[known] = fit.logits
        if len(new):
            features = joined.transform([block[new] for block in blocks])
            logits[new] = fit.predictor.predict(features)[0]
        rows.append({"new": share, **judged(given, truth, logits, order)})
        print(rate, seed, {name: round(value, 4) for name, value in rows[-1].items()}, flush=True)
    return rows


def judged(given: np.ndarray, truth: np.ndarray, logits: np.ndarray, order: np.ndarray) -> dict:
    """Return what suspicion finds. The precision is also that of the first shares in `order`."""
    p, wrong = scored(given, truth, logits, first_look=True).p, given != truth
    found = {"all": average_precision(p, wrong), "count": float(p.sum() / wrong.sum())}
    for share in SHARES:
        some = order[: round(share * len(order))]
        if (precision := average_precision(p[some], wrong[some])) is not None:
            found[f"first {share:.0%}"] = precision
    return found


if __name__ == "__main__":
    main()
