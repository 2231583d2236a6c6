"""Long work as processes of their own. Progress, log and result are on disk from the start.

A job is a folder: `job.json` (what was asked for), `progress.json` (the latest report),
`log.txt`, `result.json` or `error.json` (how it ended), `stop` (someone asked it to stop), and
`alive.lock`, which the process holds while it lives. The operating system lets go of the lock
however the process ends, so a job whose lock is free and that has no ending has died.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from . import home
from .errors import LabelAuditError, StoppedError
from .progress import Progress, ProgressCallback, StopCheck

STARTING_SECONDS = 60  # how long a new process may take to get hold of its lock
NICENESS = 5  # the app that shows the job comes first

log = logging.getLogger(__name__)

RUNNING, DONE, STOPPED, FAILED, DIED = "running", "done", "stopped", "failed", "died"


@dataclass(frozen=True)
class Job:
    """A job by its folder. Every property reads the disk, so any process may hold one."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def kind(self) -> str:
        return self._asked["kind"]

    @property
    def dataset(self) -> str:
        return self._asked["dataset"]

    @property
    def created(self) -> str:
        """When it was started: ISO 8601, UTC."""
        return self._asked["created"]

    @property
    def _asked(self) -> dict:
        return _read(self.folder / "job.json") or {}

    @property
    def progress(self) -> dict | None:
        """The latest report, as `Progress.to_dict`; None before the first."""
        return _read(self.folder / "progress.json")

    @property
    def result(self) -> dict | None:
        return _read(self.folder / "result.json")

    @property
    def error(self) -> str | None:
        """One sentence on why it failed, died or was stopped; None otherwise."""
        ending = _read(self.folder / "error.json")
        if ending:
            return ending["message"]
        if self.status == DIED:
            return f"the process ended without a word; its log ends: {self.log[-300:].strip()!r}"
        return None

    @property
    def log(self) -> str:
        try:
            return (self.folder / "log.txt").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def status(self) -> str:
        """running, done, stopped, failed or died."""
        # Twice: an ending may be written between the first look and the question who is alive.
        return self._ending() or (RUNNING if self._alive() else self._ending() or DIED)

    def _ending(self) -> str | None:
        if (self.folder / "result.json").exists():
            return DONE
        ending = _read(self.folder / "error.json")
        return ending and (STOPPED if ending["stopped"] else FAILED)

    def stop(self) -> None:
        """Ask it to end after its current step, keeping what is there."""
        (self.folder / "stop").touch()

    def wait(self, seconds: float = 3600) -> Job:
        """Return when it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while self.status == RUNNING:
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {self.id} still runs after {seconds} s")
            time.sleep(0.1)
        return self

    def _alive(self) -> bool:
        lock = self.folder / "alive.lock"
        if not lock.exists():
            return time.time() - self.folder.stat().st_mtime < STARTING_SECONDS
        return _is_held(lock)


def start(kind: str, dataset: str, **options) -> Job:
    """Begin a job in a process of its own. options: JSON values, as the kind's function takes.

    Raises LabelAuditError where a job on this dataset is running already.
    """
    if kind not in KINDS:
        raise LabelAuditError(f"{kind!r} is no kind of job: the kinds are {', '.join(KINDS)}.")
    _children[:] = [child for child in _children if child.poll() is None]  # reaps the others
    with FileLock(home.lock_path(dataset).with_suffix(".start")):
        check_idle(dataset)
        return _spawn(kind, dataset, options)


def check_idle(dataset: str) -> None:
    """Raises LabelAuditError where a job is working on this dataset."""
    running = running_job(dataset)
    if running:
        raise LabelAuditError(
            f"dataset {dataset!r} is being worked on ({running.kind}): wait for it, or stop it."
        )


def _spawn(kind: str, dataset: str, options: dict) -> Job:
    now = datetime.now(UTC)
    folder = _root() / f"{now:%Y%m%d-%H%M%S-%f}-{kind}"
    folder.mkdir(parents=True)
    asked = {
        "kind": kind,
        "dataset": dataset,
        "options": options,
        "created": now.isoformat(timespec="seconds"),
    }
    _write(folder / "job.json", asked)
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labelaudit.jobs", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # outlives the server that started it
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_library(), *_python_path()])},
        )
    _children.append(process)
    return Job(folder)


def list_jobs(dataset: str | None = None) -> list[Job]:
    """Jobs, latest first; of one dataset if it is named."""
    folders = sorted(_root().glob("*-*"), reverse=True) if _root().exists() else []
    jobs = [Job(folder) for folder in folders if (folder / "job.json").exists()]
    return [job for job in jobs if dataset is None or job.dataset == dataset]


def running_job(dataset: str) -> Job | None:
    """The job that works on this dataset now."""
    return next((job for job in list_jobs(dataset) if job.status == RUNNING), None)


# --- what the process does ---


def _load(dataset: str, progress: ProgressCallback, stop: StopCheck, **options) -> dict:
    from .sources import load_dataset

    made = load_dataset(dataset, progress=progress, stop=stop, **options)
    return {"dataset": made.name, "samples": len(made)}


def _train(dataset: str, progress: ProgressCallback, stop: StopCheck, run, split, config) -> dict:
    from .dataset import Dataset
    from .learn.config import TrainConfig
    from .learn.train import train

    data = Dataset(dataset)
    target = data if split is None else data.view().match(split=split)
    info = train(target, run, TrainConfig.from_dict(config), progress, stop).info
    return {"run": info["name"], "stopped": info["stopped"], "epochs": info["epochs"]}


def _predict(
    dataset: str, progress: ProgressCallback, stop: StopCheck, run, split, augment=True
) -> dict:
    from .dataset import Dataset
    from .learn.predict import predict
    from .rank import compute_scores

    data = Dataset(dataset)
    target = data if split is None else data.view().match(split=split)
    count = predict(target, run, progress=progress, stop=stop, augment=augment)
    return {"run": run, "predicted": count, "scores": compute_scores(data, run, progress=progress)}


def _audit(dataset: str, progress: ProgressCallback, stop: StopCheck, config, **options) -> dict:
    from .auditing import audit
    from .learn.config import TrainConfig

    config = TrainConfig.from_dict(config)
    return audit(dataset, config=config, progress=progress, stop=stop, **options).to_dict()


KINDS: dict[str, Callable[..., dict]] = {
    "load": _load,
    "train": _train,
    "predict": _predict,
    "audit": _audit,
}


def work(folder: Path) -> int:
    """Do the job of a folder, here and now. Returns the process's exit code."""
    with FileLock(folder / "alive.lock"):
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        os.nice(NICENESS) if hasattr(os, "nice") else None
        asked = _read(folder / "job.json")

        last_words = None

        def progress(report: Progress) -> None:
            nonlocal last_words
            _write(folder / "progress.json", report.to_dict())
            words = report.stage
            if report.epoch:
                words += f", epoch {report.epoch} of {report.epochs}"
            if words != last_words:
                log.info(words)
                last_words = words

        try:
            stop = (folder / "stop").exists
            result = KINDS[asked["kind"]](asked["dataset"], progress, stop, **asked["options"])
            _write(folder / "result.json", result)
            return 0
        except LabelAuditError as error:
            ending = {"message": str(error), "stopped": isinstance(error, StoppedError)}
        except Exception as error:
            traceback.print_exc()
            ending = {"message": f"{type(error).__name__}: {error}", "stopped": False}
        _write(folder / "error.json", ending)
        return 1


# --- inside ---

_children: list[subprocess.Popen] = []  # to be reaped when they have ended


def _is_held(lock: Path) -> bool:
    """Whether a process holds this lock; asked so that askers do not see each other."""
    if fcntl is None:
        try:
            with FileLock(lock, timeout=0):
                return False
        except Timeout:
            return True
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _root() -> Path:
    return home.local_home() / "jobs"


def _library() -> str:
    return str(Path(__file__).resolve().parents[1])


def _python_path() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _write(path: Path, value: dict) -> None:
    """Whole or not at all, for readers at any moment."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, default=lambda number: number.item()))
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
