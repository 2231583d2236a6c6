"""What a job's process does: the work, with its progress, log and ending in the job's folder."""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..cluster import HERE, RAY, steps
from ..core.errors import LabelAuditError, StoppedError
from ..core.files import atomic_write
from ..core.progress import Progress, Task
from ..storage.locks import exclusive
from ..storage.schema import IMPORTED

NICENESS = 5  # the app that shows the job comes first
STOP_SECONDS = 1.5  # work that has not ended so long after a stop was asked for is ended
SAVING_SECONDS = 10.0  # … unless it is saving what it has learned
CLUSTER_SECONDS = 30.0  # … or has a cluster's workers to end
LOOK_SECONDS = 0.05

log = logging.getLogger(__name__)


def _load(dataset: str, task: Task, **options) -> dict:
    from ..sources import load_dataset

    made = load_dataset(dataset, task=task, **options)
    return {"dataset": made.name, "samples": len(made)}


def _train(
    dataset: str, task: Task, run, split, config, resumed=None,
    on=HERE,
) -> dict:  # fmt: skip
    from ..dataset.dataset import Dataset
    from ..learn.config import TrainConfig
    from ..learn.train import resume

    data = Dataset(dataset)
    if resumed is not None:
        info = resume(data, _run(data, resumed), task).info
    else:
        target = data if split is None else data.view().match(split=split)
        config = TrainConfig.from_dict(config)
        info = steps(on).train(target, run, config, task).info
    return {"run": info["name"], "stopped": info["stopped"], "epochs": info["epochs"]}


def _look(dataset: str, task: Task) -> dict:
    from ..dataset.dataset import Dataset
    from ..pipeline import take_first_look

    return take_first_look(Dataset(dataset), task=task)


def _predict(dataset: str, task: Task, run, split, augment=True, on=HERE) -> dict:
    from ..dataset.dataset import Dataset

    data, by = Dataset(dataset), steps(on)
    target = data if split is None else data.view().match(split=split)
    with by.session():
        count = by.predict(target, run, task=task, augment=augment)
        scores = by.compute_scores(data, run, task=task)
    return {"run": data.run(run).name, "predicted": count, "scores": scores}


def _import(
    dataset: str, task: Task, source, run, numbers=None, by=None,
    out_of_sample=False, remove=False,
) -> dict:  # fmt: skip
    """numbers: logits or probabilities, where that is said. remove: the file lies alone in a
    folder made for this, and both go when it is read."""
    from ..dataset.dataset import Dataset
    from ..predictions import import_predictions
    from ..ranking.ranking import suspects
    from ..ranking.scoring import compute_scores

    data = Dataset(dataset)
    kept = import_predictions(
        data, source, run, kind=numbers, by=by, out_of_sample=out_of_sample, task=task,
    )  # fmt: skip
    scores = compute_scores(data, run, task=task)
    if remove:
        Path(source).unlink(missing_ok=True)
        Path(source).parent.rmdir()
    predicted = kept.info[IMPORTED]["rows"]
    return {"run": run, "predicted": predicted, "scores": scores,
            "suspects": len(suspects(data, run))}  # fmt: skip


def _score(dataset: str, task: Task, run, on=HERE) -> dict:
    from ..dataset.dataset import Dataset

    data = Dataset(dataset)
    scores = steps(on).compute_scores(data, run, task=task)
    return {"run": data.run(run).name, "scores": scores}


def _audit(dataset: str, task: Task, config, resumed=None, **options) -> dict:
    from ..dataset.dataset import Dataset
    from ..learn.config import TrainConfig
    from ..pipeline import audit, resume_audit

    # a stop ends it there: what follows may take minutes
    hooks = {"task": task, "keep_going": False}
    if resumed is None:
        return audit(dataset, config=TrainConfig.from_dict(config), **hooks, **options).to_dict()
    data = Dataset(dataset)
    ranking = {name: options[name] for name in ("score", "k", "on") if name in options}
    return resume_audit(data, _run(data, resumed), **hooks, **ranking).to_dict()


def _compare(dataset: str, task: Task) -> dict:
    from ..dataset.dataset import Dataset
    from ..features.duplicates import find_duplicates

    found = find_duplicates(Dataset(dataset), task)
    return {"samples": len(found.ids), "searched": found.searched}


def _export(
    dataset: str, task: Task, target, only_suspects=False,
    of_run=None, split=None, tag=None, **options,
) -> dict:  # fmt: skip
    from ..dataset.dataset import Dataset
    from ..export import export_dataset
    from ..ranking.ranking import selection

    view = selection(Dataset(dataset), of_run, only_suspects, split, tag)
    done = export_dataset(view, target, task=task, **options)
    return {**done.to_dict(), "told": str(done)}


def _run(data, resumed: dict):
    """The run that a job was making. Raises LabelAuditError where it is not there any more."""
    run = data.find_run(resumed)
    if run is None:
        raise LabelAuditError(
            f"run {resumed['name']!r} is no longer part of dataset {data.name!r}: run the job "
            "again from the start."
        )
    return run


# Those that take `resumed` can go on with the run that an earlier job was making.
KINDS: dict[str, Callable[..., dict]] = {
    "load": _load,
    "look": _look,
    "train": _train,
    "predict": _predict,
    "import": _import,
    "score": _score,
    "audit": _audit,
    "compare": _compare,
    "export": _export,
}


def work(folder: Path) -> int:
    """Do the job of a folder, here and now. Returns the process's exit code."""
    guard = _begin_guard(folder)  # before the lock is taken: it must not hold it too
    with exclusive(folder / "alive.lock"):
        faulthandler.enable()  # a crash in native code leaves last words in the log
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"
        )
        os.nice(NICENESS) if hasattr(os, "nice") else None
        try:
            write(folder / "result.json", _do(folder))
            return 0
        except LabelAuditError as error:
            log.info("%s", error)
            ending = {"message": str(error), "stopped": isinstance(error, StoppedError)}
        except Exception as error:
            traceback.print_exc()
            ending = {"message": f"{type(error).__name__}: {error}", "stopped": False}
        finally:
            if guard:
                os.kill(guard, signal.SIGKILL)
                os.waitpid(guard, 0)
        _write_ending(folder, ending)
        return 1


def _write_ending(folder: Path, ending: dict) -> None:
    try:
        write(folder / "error.json", ending)
    except OSError:  # the disk is full: the last report makes room for why it ended
        (folder / "progress.json").unlink(missing_ok=True)
        write(folder / "error.json", ending)


def _do(folder: Path) -> dict:
    asked = read(folder / "job.json")
    stop = (folder / "stop").exists
    if stop():
        raise StoppedError("stopped before it began: nothing is kept of it.")
    resumed = {"resumed": asked["resumes"]} if asked.get("resumes") else {}
    job = KINDS[asked["kind"]]
    return job(asked["dataset"], Task(_Reporter(folder), stop), **asked["options"], **resumed)


class _Reporter:
    """Writes each report to the folder, the run that is made too, and a line a stage to the log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.last_words, self.run = folder, None, None

    def __call__(self, report: Progress) -> None:
        if report.run not in (None, self.run):
            write(self.folder / "run.json", report.run)
            self.run = report.run
        with suppress(OSError):  # a full disk ends the work where something of it cannot be kept
            write(self.folder / "progress.json", report.to_dict())
        words = report.stage
        if report.epoch:
            words += f", epoch {report.epoch} of {report.epochs}"
        if words != self.last_words:
            log.info(words)
            self.last_words = words


# --- ends work that does not hear ---


def _begin_guard(folder: Path) -> int | None:
    """Watch over this process: it is ended if it goes on after a stop was asked for.

    Everything that it writes takes its place whole, so it may be ended at any moment. A process,
    not a thread: importing torch from a cold disk holds the interpreter for three seconds.
    """
    if not hasattr(os, "fork"):  # Windows
        ended = threading.Event()
        arguments = (folder, lambda: not ended.is_set(), lambda: os._exit(1))
        threading.Thread(target=_guard, args=arguments, daemon=True).start()
        return None
    watched = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        _guard(folder, lambda: os.getppid() == watched, lambda: os.kill(watched, signal.SIGKILL))
    finally:
        os._exit(0)


def _guard(folder: Path, lives: Callable[[], bool], end: Callable[[], None]) -> None:
    asked = None
    while lives():
        if asked is None and (folder / "stop").exists():
            asked = time.monotonic()
        if asked is not None and time.monotonic() - asked > _patience(folder):
            return end()
        time.sleep(LOOK_SECONDS)


def _patience(folder: Path) -> float:
    if (read(folder / "job.json") or {}).get("options", {}).get("on") == RAY:
        return CLUSTER_SECONDS
    saving = (read(folder / "progress.json") or {}).get("stage") == "saving"
    return SAVING_SECONDS if saving else STOP_SECONDS


# --- the folder's files ---


def read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def write(path: Path, value: dict) -> None:
    """Write JSON that readers see whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, default=lambda number: number.item()))


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
