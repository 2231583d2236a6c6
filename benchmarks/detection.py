"""How many wrong labels each score finds, at what cost, and whether suspicion is a probability.

    python benchmarks/detection.py                                   # digits
    python benchmarks/detection.py --data ../shared/data/cifar10/train.zip --images 10000 \
        --noise uniform pair human_aggregate human_random1

Each row (images, noise, seed) audits the labels as a user would, and beside it, with the same net,
epochs and augmentation, trains the five folds that cleanlab needs. CPU-seconds are those of all
that a score needed. --table prints what earlier rows have left in results/.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from common import RESULTS, fresh_home, save
from sklearn.metrics import average_precision_score, roc_auc_score
from walkthrough import first_images

RATE = 0.2
FOLDS = 5
BINS = 10  # of the reliability table
PLANTED = ("uniform", "pair")
NAME = "audited"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits", help="digits, or a zip with a csv beside it")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--noise", nargs="+", default=["uniform"],
                        help="uniform, pair, or a column of the csv")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--folds", type=int, default=1, help="of our own training")
    parser.add_argument("--alone", action="store_true", help="without cleanlab's five folds")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    options = parser.parse_args()
    if not options.table:
        for noise in options.noise:
            for seed in options.seeds:
                row = measure(options, noise, seed)
                size = f"{row['data']}-{row['images']}-{noise}-{seed}"
                save(f"detection-{size}{f'-{options.folds}fold' if options.folds > 1 else ''}", row)
    show()


def measure(options, noise: str, seed: int) -> dict:
    import labelaudit

    settings = {"seed": seed, "threads": 1, "folds": options.folds, "epochs": options.epochs}
    config = labelaudit.TrainConfig(**{k: v for k, v in settings.items() if v is not None})
    with fresh_home() as home:
        dataset, truth = load(options, noise, seed, home)
        ids, given = dataset.view().ids, dataset.view().frame.label
        wrong = given != truth
        scores, cpu, found = ours(dataset, config)
        suspicion = np.nan_to_num(scores["suspicion"])
        estimate = labelaudit.estimate_wrong(dataset)
        row = {
            "data": Path(options.data).parent.name if options.data != "digits" else "digits",
            "images": len(ids), "noise": noise, "seed": seed, "wrong": int(wrong.sum()),
            "config": config.to_dict(), "cpu": cpu, "validation_accuracy": found,
            "estimated": [estimate.wrong, estimate.low, estimate.high],
            "calibration_error": calibration_error(suspicion, wrong),
            "reliability": reliability(suspicion, wrong),
            "scores": [judge(name, values, wrong) for name, values in scores.items()],
        }  # fmt: skip
        if not options.alone:
            row |= cleanlab_row(dataset, config, given, wrong)
    return row


def load(options, noise: str, seed: int, home: Path):
    """The dataset with wrong labels in it, and the true classes."""
    import labelaudit
    from labelaudit.dataset import noise as noise_room

    if options.data == "digits":
        dataset = labelaudit.load_dataset("digits")
        truth = dataset.view().frame.label.copy()
    else:
        archive = first_images(Path(options.data), options.images, home)
        rows = pd.read_csv(Path(options.data).with_suffix(".csv"), nrows=options.images)
        column = "label" if noise in PLANTED else noise
        with zipfile.ZipFile(archive) as images:
            images.extractall(home / "images")
        manifest = home / "images" / "labels.csv"
        rows.rename(columns={column: "given"})[["filepath", "given"]].rename(
            columns={"given": "label"}
        ).to_csv(manifest, index=False)
        dataset = labelaudit.load_dataset(NAME, manifest)
        names = dict(zip(rows["filepath"], rows["label"], strict=True))
        paths = dataset.view().to_pandas()["filepath"]
        folder = str(home / "images")
        kept = [names[path.removeprefix(folder).lstrip("/")] for path in paths]
        truth = np.array([dataset.classes.index(name) for name in kept])
    if noise in PLANTED:
        at, codes = noise_room.corrupt(truth, len(dataset.classes), RATE, noise, seed)
        names = [dataset.classes[code] for code in codes]
        dataset.set_labels(dataset.view().ids[at], names)
    return dataset, truth


def ours(dataset, config):
    """Every stored score, CPU-seconds by step, and accuracy on the labels held out."""
    import cleanlab.count  # noqa: F401  (loaded by both sides: by neither on the clock)
    import torch  # noqa: F401

    import labelaudit
    from labelaudit.learn.predict import predict
    from labelaudit.learn.train import train

    cpu, clock = {}, time.process_time()

    def lap(step: str) -> None:
        nonlocal clock
        now = time.process_time()
        cpu[step], clock = now - clock, now

    run = train(dataset, config=config)
    lap("train")
    predict(dataset)
    lap("predict")
    names = labelaudit.compute_scores(dataset)
    lap("score")
    view = dataset.view()
    return {name: view.fields.number(name) for name in names}, cpu, run.info["validation_accuracy"]


def cleanlab_row(dataset, config, given: np.ndarray, wrong: np.ndarray) -> dict:
    """cleanlab's two rankings and its count, from five folds of the same net."""
    from cleanlab.count import num_label_issues
    from cleanlab.rank import get_label_quality_scores

    started = time.process_time()
    p = five_folds(dataset, config, given)
    cpu = time.process_time() - started
    rows = []
    for method in ("self_confidence", "normalized_margin"):
        quality = get_label_quality_scores(given, p, method=method)
        rows.append(judge(f"cleanlab 5-fold {method}", -quality, wrong))
    return {
        "cleanlab": rows, "cleanlab_cpu": cpu,
        "cleanlab_estimated": int(num_label_issues(given, p)),
    }  # fmt: skip


def five_folds(dataset, config, given: np.ndarray) -> np.ndarray:
    """Out-of-sample probabilities (n, C), each sample's from the net of the four other folds.

    The same net, steps, averaging and copies as ours, but nothing is left out of learning.
    """
    import torch
    from sklearn.model_selection import StratifiedKFold

    from labelaudit.core.progress import QUIET
    from labelaudit.features.device import choose_device
    from labelaudit.features.image_batches import Images
    from labelaudit.learn.forward import augmented_copies, forward
    from labelaudit.learn.model_trainer import ModelTrainer
    from labelaudit.learn.models import build_model
    from labelaudit.scores.probability import probabilities

    torch.set_num_threads(1)
    info, device = dataset.run().info, choose_device("cpu")
    frame, shift, mirror = dataset.view().frame, info["shift"], info["mirror"]
    images = Images(frame, frame.ids, info["image_size"])
    images.load(device, QUIET)
    nothing = np.zeros(len(given))  # margins: none is below the bound
    p = np.empty((len(given), len(dataset.classes)))
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=config.seed)
    for fold, (learned, held_out) in enumerate(splits.split(given, given)):
        rng = np.random.default_rng([config.seed, fold])
        model = build_model(config, len(dataset.classes))
        some = rng.permutation(learned)[:500]
        model.fit_input(next(images.batches(some, len(some)))[1])
        labels = given.astype(np.int64)
        trainer = ModelTrainer(model, learned, labels, config, device, rng, shift, mirror)
        for epoch in range(config.epochs):
            order = trainer.order(epoch + 1, nothing)
            size = trainer.batch_size
            for i, (places, batch) in enumerate(images.batches(order, size)):
                share = min((i + 0.5) * size / len(order), 1)
                trainer.step(places, batch, (epoch + share) / config.epochs)
        copies = augmented_copies(shift, mirror)
        for at, logits in forward(trainer.average, images, held_out, device, copies):
            p[at] = probabilities(logits)
    return p


def judge(name: str, values: np.ndarray, wrong: np.ndarray) -> dict:
    """Average precision, ROC-AUC, and precision among as many as there are wrong labels."""
    values = np.nan_to_num(values, nan=-np.inf)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    first = np.argsort(-values, kind="stable")[: wrong.sum()]
    return {
        "score": name,
        "average_precision": float(average_precision_score(wrong, ranks)),
        "roc_auc": float(roc_auc_score(wrong, ranks)),
        "precision_at_wrong": float(wrong[first].mean()),
    }


def reliability(p: np.ndarray, wrong: np.ndarray) -> list[dict]:
    """Of the samples with p in each tenth: how many, mean p, and the share that is wrong."""
    at = np.minimum((p * BINS).astype(int), BINS - 1)
    return [
        {"from": k / BINS, "samples": int((at == k).sum()), "p": float(p[at == k].mean()),
         "wrong": float(wrong[at == k].mean())}
        for k in range(BINS) if (at == k).any()
    ]  # fmt: skip


def calibration_error(p: np.ndarray, wrong: np.ndarray) -> float:
    """Expected calibration error over those tenths."""
    rows = reliability(p, wrong)
    return sum(row["samples"] * abs(row["p"] - row["wrong"]) for row in rows) / len(p)


def show() -> None:
    rows = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("detection-*.json"))]
    scores, sums = [], []
    for row in rows:
        which = {"data": f"{row['data']} {row['images']:,}", "noise": row["noise"],
                 "seed": row["seed"], "folds": row["config"]["folds"]}  # fmt: skip
        scores += [{**which, **each} for each in row["scores"] + row.get("cleanlab", [])]
        best = {each["score"]: each["average_precision"] for each in row["scores"]}
        theirs = [each["average_precision"] for each in row.get("cleanlab", [])]
        wrong, low, high = row["estimated"]
        cpu, other = sum(row["cpu"].values()), row.get("cleanlab_cpu", np.nan)
        sums.append({
            **which, "suspicion": best["suspicion"], "cleanlab": max(theirs, default=np.nan),
            "cpu": cpu, "its cpu": other, "ratio": cpu / other, "ece": row["calibration_error"],
            "wrong": row["wrong"], "estimated": f"{wrong:.0f} ({low:.0f}-{high:.0f})",
            "inside": low <= row["wrong"] <= high, "width": (high - low) / 2 / max(wrong, 1),
            "its count": row.get("cleanlab_estimated", ""),
        })  # fmt: skip
    print(pd.DataFrame(scores).round(4).to_string(index=False), "\n")
    print(pd.DataFrame(sums).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
