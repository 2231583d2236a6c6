"""How well wrong labels are found, at what cost, and whether their estimated number is right.

    python benchmarks/detection.py                            # all rows; hours on one core
    python benchmarks/detection.py --rows digits easy --seeds 0 1 2 3 4
    python benchmarks/detection.py --rows 'cifar-10000-*' --fast  # the first look only
    python benchmarks/detection.py --table                    # prints the stored results

Each row makes some labels wrong, audits the dataset with `labelaudit.audit`, and compares the
ranking with the true labels. Beside it stands cleanlab with the probabilities of a 5-fold
cross-validated logistic regression on the same features. CPU-seconds are those of every step from
the loaded dataset to the ranking, with one thread. Features are extracted once for each set of
images; their cost is added to every row.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path

import pandas as pd
from common import RESULTS, fresh_home, save
from detection_data import find_data, load_images, wrong_labels
from detection_scores import cleanlab_result, judged

EQUAL = 5e-5  # smaller differences of average precision are not shown
MARGIN = 0.003  # average precision that suspicion may lose to self-confidence
FIRST_LOOK, NETWORK = "first look", "with network"


@dataclass(frozen=True)
class Row:
    """One kind of wrong labels in one set of images, and its targets.

    ap: least average precision of suspicion. cpu: most CPU-seconds; "half" stands for half the
    training of five networks. count: largest relative error of the estimate. most: largest
    estimate. ece: largest calibration error.
    """

    images: str  # see detection_data.load_images
    noise: str | None  # see detection_data.wrong_labels; None leaves the labels as they are
    ap: float | None = None
    cpu: float | str | None = None
    count: float | None = None
    most: int | None = None
    ece: float = 0.03


ROWS = {
    "digits": Row("digits", "uniform", ap=0.999),
    "easy": Row("easy", "uniform", ap=0.8, count=0.15),
    "digits-3-8": Row("digits", "3-8", ap=0.8, count=0.15),
    "clothing-1000-uniform": Row("clothing-1000", "uniform", ap=0.96, cpu=40),
    "clothing-1000-pair": Row("clothing-1000", "pair"),
    "clothing-uniform": Row("clothing", "uniform", ap=0.98, cpu=120),
    "clothing-pair": Row("clothing", "pair", ap=0.96, cpu=120),
    "cifar-10000-uniform": Row("cifar-10000", "uniform", ap=0.95, cpu="half"),
    "cifar-10000-pair": Row("cifar-10000", "pair", ap=0.96, cpu="half"),
    "cifar-10000-random1": Row("cifar-10000", "human_random1", ap=0.85, cpu="half"),
    "cifar-10000-aggregate": Row("cifar-10000", "human_aggregate", ap=0.73, cpu="half"),
    "clothing-as-it-is": Row("clothing", None, most=150),
    "cifar-50000-uniform": Row("cifar-50000", "uniform", ap=0.965),
    "cifar-50000-aggregate": Row("cifar-50000", "human_aggregate", ap=0.78),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), help="names; * is any text")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--fast", action="store_true", help="do not train a network")
    parser.add_argument("--alone", action="store_true", help="do not run cleanlab")
    parser.add_argument("--data", type=Path, help="the folder with cifar10 and clothing")
    parser.add_argument("--home", type=Path, help="keep the datasets and features in this folder")
    parser.add_argument("--table", action="store_true", help="only print the stored results")
    options = parser.parse_args()
    if not options.table:
        names = [name for name in ROWS if any(fnmatch(name, pattern) for pattern in options.rows)]
        if options.home:
            os.environ["LABELAUDIT_HOME"] = str(options.home)
            measure_all(names, options, options.home)
        else:
            with fresh_home() as home:
                measure_all(names, options, home)
    show_table()


def measure_all(names: list[str], options: argparse.Namespace, home: Path) -> None:
    import torch

    torch.set_num_threads(1)
    data = options.data or find_data()
    for name in names:
        for seed in options.seeds:
            result = measure(ROWS[name], seed, options, data, home)
            stored = RESULTS / f"detection-{name}-{seed}.json"
            if options.alone and stored.exists():  # what cleanlab found does not change
                result["cleanlab"] = json.loads(stored.read_text()).get("cleanlab")
            save(stored.stem, {"row": name, "seed": seed, **result})


def measure(row: Row, seed: int, options: argparse.Namespace, data: Path, home: Path) -> dict:
    """Audit one row. Returns the measurements of each run, and those of cleanlab."""
    import labelaudit
    from labelaudit.learn.config import FIRST_LOOK_RUN
    from labelaudit.pipeline import trains_by_default

    dataset, truth = load_images(row.images, seed, data, home)
    given = truth if row.noise is None else wrong_labels(row.noise, truth, dataset, seed, data)
    dataset.set_labels(dataset.view().ids, [dataset.classes[code] for code in given])
    wrong = given != truth
    clock = Clock()
    audit = labelaudit.audit(
        dataset,
        config=labelaudit.TrainConfig(seed=seed, threads=1),
        train=not options.fast and trains_by_default(dataset),
        task=labelaudit.Task(progress=clock.report, interval=0),
    )
    clock.lap("ranking")
    extracted = clock.extraction()
    # features that an earlier row has extracted cost as much as they did there
    before = stored_extraction(home, dataset.name)
    store_extraction(home, dataset.name, before + extracted)
    total = before + sum(clock.cpu.values())
    runs = {FIRST_LOOK: judged(dataset, FIRST_LOOK_RUN, wrong)}
    trained = audit.run != FIRST_LOOK_RUN
    runs[FIRST_LOOK]["cpu"] = before + clock.first_suspects["cpu"] if trained else total
    if trained:
        runs[NETWORK] = judged(dataset, audit.run, wrong) | {"cpu": total}
    result = {
        "target": asdict(row),
        "images": len(given),
        "wrong": int(wrong.sum()) if row.noise else None,
        "features": dataset.run(FIRST_LOOK_RUN).info["first_look"],
        "extraction_cpu": before + extracted,
        "training_cpu": clock.cpu.get("training"),
        "cpu_by_stage": dict(clock.cpu),
        "first_suspects": clock.first_suspects if extracted else None,
        "runs": runs,
    }
    if not options.alone:
        result["cleanlab"] = cleanlab_result(dataset, given, wrong, before + extracted)
    return result


class Clock:
    """CPU-seconds of each stage of an audit, from its progress reports."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.first_suspects: dict[str, float] = {}  # when the first suspects could be reviewed
        self._cpu, self._wall = time.process_time(), time.monotonic()

    def lap(self, stage: str) -> None:
        """Count the time since the last call for this stage."""
        now = time.process_time()
        self.cpu[stage] += now - self._cpu
        self._cpu = now

    def report(self, progress) -> None:
        """Receive a report of the audit."""
        self.lap(progress.stage)
        if progress.first_look and not self.first_suspects:
            wall = time.monotonic() - self._wall
            self.first_suspects = {"cpu": sum(self.cpu.values()), "seconds": wall}

    def extraction(self) -> float:
        """CPU-seconds that the features took."""
        return sum(cpu for stage, cpu in self.cpu.items() if stage.startswith("extracting"))


def stored_extraction(home: Path, name: str) -> float:
    """CPU-seconds that the stored features of a dataset took."""
    path = home / f"{name}-extraction.json"
    return json.loads(path.read_text()) if path.exists() else 0.0


def store_extraction(home: Path, name: str, seconds: float) -> None:
    (home / f"{name}-extraction.json").write_text(json.dumps(seconds))


def verdict(result: dict, run: dict) -> str:
    """Say which targets a run meets. Targets of the issue; of the estimate and the ECE, too."""
    target, precision, missed = result["target"], run["precision"], []
    ap, wrong = precision["suspicion"], result["wrong"]
    if target["ap"] and ap < target["ap"]:
        missed.append(f"AP {target['ap']}")
    if ap is not None and ap < precision["self_confidence"] - MARGIN:
        missed.append("self-confidence")
    theirs = (result.get("cleanlab") or {"precision": {}})["precision"].values()
    if ap is not None and ap < max(theirs, default=0.0) - EQUAL:
        missed.append("cleanlab")
    most = target["cpu"]
    if most == "half":  # of five networks, each trained on four fifths
        most = 2 * result["training_cpu"] if result["training_cpu"] else None
    if most and run["cpu"] > most:
        missed.append(f"CPU {most:.0f}")
    estimate = run["estimate"][0]
    if target["count"] and abs(estimate - wrong) > target["count"] * wrong:
        missed.append(f"count within {target['count']:.0%}")
    if target["most"] and estimate > target["most"]:
        missed.append(f"count {target['most']}")
    if wrong is not None and run["ece"] > target["ece"]:
        missed.append(f"ECE {target['ece']}")
    return f"missed: {', '.join(missed)}" if missed else "met"


def show_table() -> None:
    """Print the stored results as a table in Markdown."""
    rows = []
    for name in ROWS:
        for path in sorted(RESULTS.glob(f"detection-{name}-*.json")):
            result = json.loads(path.read_text())
            if result["row"] != name:  # "digits-*" finds "digits-3-8-0" as well
                continue
            rows += [cells(result, kind, run) for kind, run in result["runs"].items()]
    print(pd.DataFrame(rows).to_csv(sep="|", index=False).replace("|", " | "))


def cells(result: dict, kind: str, run: dict) -> dict[str, str]:
    """One row of the table."""
    theirs = result.get("cleanlab") or {"precision": {"": None}, "count": "", "cpu": None}
    wrong, low, high = run["estimate"]
    precision = run["precision"]
    return {
        "row, seed": f"{result['row']} {result['seed']}",
        "run": kind,
        "suspicion": number(precision["suspicion"]),
        "self-confidence": number(precision["self_confidence"]),
        "cleanlab": number(max(theirs["precision"].values(), key=lambda ap: ap or 0)),
        "hardness, mistakenness": ", ".join(
            number(precision[name], 3) for name in ("hardness", "mistakenness")
        ),
        "wrong": f"{result['wrong']}",
        "estimate": f"{wrong:.0f} ({low:.0f} to {high:.0f})",
        "its count": f"{theirs['count']}",
        "ECE": number(run["ece"] if result["wrong"] is not None else None, 3),
        "CPU-s": number(run["cpu"], 0),
        "its CPU-s": number(theirs["cpu"], 0),
        "targets": verdict(result, run),
    }


def number(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
