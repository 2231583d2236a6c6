"""The operations that tests kill, run on a full disk and repeat, on a small dataset; and the
content of the dataset."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import labelaudit
from labelaudit import Dataset, Review, TrainConfig
from labelaudit.dataset import verdict_log
from labelaudit.dataset.history_log import entries
from labelaudit.dataset.noise import labels_before_noise
from labelaudit.features.duplicates import duplicates
from labelaudit.features.stored import stored_features
from labelaudit.patch import RELABEL, REMOVE, Change, Patch
from labelaudit.storage import paths
from labelaudit.storage.schema import BEGUN, FINISHED

NAME = "stripes"
QUICK = TrainConfig(epochs=2, threads=1, batch_size=16, image_size=16)


def images(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of two kinds, uint8 (n, 12, 12, 3), and their classes; every tenth is a copy."""
    pixels = np.random.default_rng(seed).integers(0, 60, (n, 12, 12, 3), np.uint8)
    labels = np.arange(n) % 2
    pixels[labels == 1, :, ::2] += 180
    pixels[labels == 0, ::2] += 180
    pixels[2::10] = pixels[:1]
    return pixels, labels


def load() -> Dataset:
    return labelaudit.load_arrays(NAME, *images(), classes=["flat", "tall"])


def prepare() -> None:
    """The dataset that operations start from: noise, two runs, scores, verdicts, and a patch."""
    dataset = load()
    labelaudit.inject_noise(dataset, 0.1, seed=1)
    labelaudit.first_look(dataset)
    labelaudit.compute_scores(dataset)
    labelaudit.train(dataset, "run-1", config=QUICK)
    labelaudit.predict(dataset, "run-1", "cpu")
    labelaudit.compute_scores(dataset, "run-1")
    review = Review(dataset, "ann")
    review.decide([1, 2, 3], "relabel", ["tall", "tall", "flat"])
    review.decide(4, "remove")
    _write_patch(_out("some.labels.jsonl"))


def _write_patch(path: Path) -> None:
    """A patch that removes a sample and relabels three, one as a class that the dataset lacks."""
    at = "2026-01-01T00:00:00+00:00"
    changes = [Change(None, None, 20, "tall", REMOVE, None, ("cy",), at)]
    for sample, after in ((21, "tall"), (23, "tall"), (25, "crooked")):
        changes.append(Change(None, None, sample, "flat", RELABEL, after, ("cy",), at))
    Patch(changes, NAME, ["flat", "tall", "crooked"], at).write(path)


# --- the operations ---


def _load_new(dataset: Dataset, say: Callable) -> None:
    labelaudit.load_arrays("other", *images(30, seed=5), classes=["flat", "tall"])


def _load_over(dataset: Dataset, say: Callable) -> None:
    labelaudit.load_arrays(NAME, *images(30, seed=5), classes=["flat", "tall"], overwrite=True)


def _delete(dataset: Dataset, say: Callable) -> None:
    labelaudit.delete_dataset(NAME)


def _add(dataset: Dataset, say: Callable) -> None:
    pixels, _ = images(20, seed=9)
    dataset.add_samples({"image": list(pixels), "label": ["new", "flat"] * 10})


def _noise(dataset: Dataset, say: Callable) -> None:
    labelaudit.inject_noise(dataset, 0.3, seed=2)


def _restore(dataset: Dataset, say: Callable) -> None:
    labelaudit.restore_noise(dataset)


def _relabel(dataset: Dataset, say: Callable) -> None:
    dataset.set_labels([1, 2, 3], "tall")


def _tag(dataset: Dataset, say: Callable) -> None:
    dataset.tag([1, 5, 9], "seen")


def _train(dataset: Dataset, say: Callable) -> None:
    labelaudit.train(dataset, "run-2", config=QUICK)


def _train_again(dataset: Dataset, say: Callable) -> None:
    labelaudit.train(dataset, "run-1", config=TrainConfig(**{**QUICK.to_dict(), "seed": 3}))


def _predict(dataset: Dataset, say: Callable) -> None:
    labelaudit.predict(dataset, "run-1", "cpu", augment=False)


def _score(dataset: Dataset, say: Callable) -> None:
    labelaudit.compute_scores(dataset, "run-1", ["hardness", "suspicion"])


def _verdicts(dataset: Dataset, say: Callable) -> None:
    review = Review(dataset, "bob")
    for sample in range(5, 11):
        say(review.decide(sample, "keep" if sample % 2 else "remove"))
    review.undo()
    say(review.decide([11, 12], "unsure"))


def _apply(dataset: Dataset, say: Callable) -> None:
    labelaudit.apply_verdicts(dataset)


def _export(dataset: Dataset, say: Callable) -> None:
    labelaudit.write_labels(dataset.view(), _out("labels.csv"))


def _export_suspects(dataset: Dataset, say: Callable) -> None:
    labelaudit.write_suspects(labelaudit.suspects(dataset), _out("suspects.csv"))


def _report(dataset: Dataset, say: Callable) -> None:
    labelaudit.write_report(dataset, _out("report.html"))


def _write_a_patch(dataset: Dataset, say: Callable) -> None:
    labelaudit.write_patch(dataset, _out("own.labels.jsonl"))


def _patch(dataset: Dataset, say: Callable) -> None:
    labelaudit.apply_patch(dataset, _out("some.labels.jsonl"), trust=["id"], add_classes=True)


def _look(dataset: Dataset, say: Callable) -> None:
    labelaudit.first_look(dataset)


def _duplicates(dataset: Dataset, say: Callable) -> None:
    labelaudit.find_duplicates(dataset)


def _return(dataset: Dataset, say: Callable) -> None:
    labelaudit.return_to(dataset, 0)


def _out(name: str) -> Path:
    return Path(os.environ["LABELAUDIT_HOME"]) / name


@dataclass(frozen=True)
class Operation:
    """An operation on the prepared dataset. do: called with the dataset and a function to which it
    reports everything that is done. repeats: whether doing it twice equals doing it once."""

    do: Callable[[Dataset, Callable[[object], None]], None]
    repeats: bool = True


OPERATIONS = {
    "load": Operation(_load_new, repeats=False),
    "load over": Operation(_load_over),
    "delete": Operation(_delete, repeats=False),
    "add samples": Operation(_add, repeats=False),
    "noise": Operation(_noise, repeats=False),
    "restore noise": Operation(_restore),
    "relabel": Operation(_relabel),
    "tag": Operation(_tag),
    "first look": Operation(_look),
    "train": Operation(_train),
    "train again": Operation(_train_again),
    "predict": Operation(_predict),
    "score": Operation(_score),
    "verdicts": Operation(_verdicts, repeats=False),
    "apply": Operation(_apply),
    "return": Operation(_return),
    "patch": Operation(_write_a_patch),
    "patch apply": Operation(_patch),
    "export": Operation(_export),
    "export suspects": Operation(_export_suspects),
    "report": Operation(_report),
    "duplicates": Operation(_duplicates),
}


# --- the content of a home ---

TIMES = re.compile(rb"\d{4}-\d\d-\d\d[T ][\d:.+]*|\d\d? \w+ \d{4}, \d\d:\d\d")
FILES = ("labels.csv", "suspects.csv", "own.labels.jsonl", "report.html")


def everything() -> dict:
    """Return everything that a user can see of this home: each dataset and each exported file."""
    found = {name: _dataset(Dataset(name)) for name in labelaudit.list_datasets()}
    for name in FILES:
        path = _out(name)
        found[name] = _digest(TIMES.sub(b"", path.read_bytes())) if path.exists() else None
    return found


def _dataset(dataset: Dataset) -> dict:
    frame = dataset.view().frame
    ids = frame.ids
    images = frame.take("samples", np.arange(len(ids)), ["image"])["image"].to_pylist()
    log, groups = verdict_log.read(frame), duplicates(dataset)
    return {
        "classes": dataset.classes,
        "ids": ids.tolist(),
        "images": _digest(b"".join(images)),
        "labels": frame.label.tolist(),
        "original": frame.original_label.tolist(),
        "tags": {name: ids[mask].tolist() for name, mask in frame.tags.items() if mask.any()},
        "before noise": labels_before_noise(frame).tolist(),
        "history": [(line.kind, line.count, line.info) for line in entries(frame)],
        "verdicts": [
            getattr(log, name).tolist()
            for name in ("id", "batch", "sample", "reviewer", "verdict", "label", "given")
        ],
        "groups": None if groups is None else groups.group.tolist(),
        "runs": {name: _run(dataset, name) for name in dataset.runs},
    }


def _run(dataset: Dataset, name: str) -> dict:
    run, view = dataset.run(name), dataset.view(name)
    info = {key: value for key, value in run.info.items() if key not in ("id", "created")}
    dynamics = run.dynamics(dataset.view().ids)
    scores = {score: view.values(score).tolist() for score in run.score_names()}
    found = {
        "info": _timeless(info),
        "dynamics": None if dynamics is None else _digest(dynamics.margin.tobytes()),
        "scores": _digest(repr(scores).encode()),
    }
    if run.has_predictions():
        ids, logits = map(np.concatenate, zip(*run.logits(), strict=True))
        seen, vectors = run.all_embeddings()
        found["predicted"] = np.sort(ids).tolist()
        found["logits"] = _digest(logits[ids.argsort()].tobytes())
        found["embeddings"] = _digest(vectors[seen.argsort()].tobytes())
    return found


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key != "seconds"}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


# --- leftovers that nothing refers to ---


def orphans() -> list[str]:
    """Files under this home that killed processes left and that nothing refers to."""
    root = Path(os.environ["LABELAUDIT_HOME"])
    found = [*root.glob("locks/*/*"), *root.glob("datasets/.*"), *root.glob(".*.partial")]
    found += root.glob("checkpoints/*/*.partial")
    there = {paths.checkpoints(name) for name in labelaudit.list_datasets()}
    found += [folder for folder in root.glob("checkpoints/*") if folder not in there]
    for name in labelaudit.list_datasets():
        frame = Dataset(name).view().frame
        rows = frame.read("runs", ["id", "state"])
        runs = [] if rows is None else rows.to_pylist()
        begun = {str(run["id"]) for run in runs if run["state"] == BEGUN}
        kept = begun | {str(run["id"]) for run in runs if run["state"] == FINISHED}
        extracted = {str(each.id) for each in stored_features(frame).values()}
        found += [
            path for path in paths.checkpoints(name).glob("*")
            if path.stem.rpartition("-")[2] not in begun
        ]  # fmt: skip
        found += [path for path in Path(frame.uri).iterdir() if path.name.endswith(".new")]
        found += list(Path(frame.uri).iterdir())[2:]  # the pointer and one folder with tables
        for table in Path(frame.uri).glob("*/*.lance"):
            kind, _, run = table.stem.rpartition("-")
            owners = extracted if kind == "features" else kept
            if not frame.exists(table.stem) or (kind and run not in owners):
                found.append(table)
            versions = b"".join(path.read_bytes() for path in table.glob("_versions/*.manifest"))
            found += [path for path in table.glob("data/*") if path.name.encode() not in versions]
    return sorted(str(path.relative_to(root)) for path in found)


def tidy() -> None:
    """Work that cleans up leftovers: a change, a run, a load."""
    if NAME in labelaudit.list_datasets():
        dataset = Dataset(NAME)
        dataset.tag([1], "later")
        dataset.new_run("later").abandon()
    labelaudit.load_arrays("third", *images(4), classes=["flat", "tall"])
    labelaudit.delete_dataset("third")
