"""Long work as processes of their own. Progress, log and result are on disk from the start.

A job is a folder: `job.json` (what was asked for), `progress.json` (the latest report), `run.json`
(the run that it makes), `log.txt`, `result.json` or `error.json` (how it ended), `stop` (someone
asked it to stop), and `alive.lock`, which the process holds while it lives. The operating system
lets go of the lock however the process ends, so a job whose lock is free and that has no ending was
ended by its stop, or has died. What the process does is in `work.py`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from ..core.errors import LabelAuditError
from ..core.subprocess_env import command, environment
from ..dataset.dataset import Dataset
from ..storage import paths
from ..storage.locks import exclusive, is_locked
from ..storage.schema import BEGUN, FINISHED
from .worker import KINDS, read, write

STARTING_SECONDS = 60  # how long a new process may take to get hold of its lock
LOCKING_SECONDS = 0.2
KEPT = 200  # ended jobs whose folders are kept
LAST_WORDS = 300  # characters of the log of a job that died

RUNNING, DONE, STOPPED, FAILED, DIED = "running", "done", "stopped", "failed", "died"
TRAINING, TRAINED = "training", "trained"  # what can be resumed


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
    def options(self) -> dict:
        """What its kind's function was given, as JSON values."""
        return self._asked["options"]

    @property
    def follows(self) -> str | None:
        """Id of the job that this one resumes, or does again."""
        return self._asked.get("follows")

    @cached_property
    def _asked(self) -> dict:
        return read(self.folder / "job.json") or {}

    @property
    def run(self) -> dict | None:
        """The run that it makes, as `Run.marks`; None before there is one, and where it makes none.

        From the first report on; of a job that resumes another from its start."""
        return read(self.folder / "run.json")

    @property
    def run_name(self) -> str | None:
        """Name of the run that it writes to, where that is known."""
        made = self.run
        return made["name"] if made else self.options.get("run")

    @property
    def progress(self) -> dict | None:
        """The latest report, as `Progress.to_dict`; None before the first."""
        return read(self.folder / "progress.json")

    @property
    def result(self) -> dict | None:
        return read(self.folder / "result.json")

    @property
    def error(self) -> str | None:
        """One sentence on why it failed, died or was stopped; None otherwise."""
        ending = read(self.folder / "error.json")
        if ending:
            return ending["message"]
        status = self.status
        if status == DIED:
            words = self.log[-LAST_WORDS:].strip().rpartition("\n")[2] or "nothing was written"
            return f"the process ended without a word; its log ends: {words}"
        if status == STOPPED:
            stage = (self.progress or {}).get("stage", "starting")
            if self.left:
                return f"stopped in the middle of {stage}: what was finished before can be resumed."
            return f"stopped in the middle of {stage}: nothing is kept of what it was doing."
        return None

    @property
    def stop_asked(self) -> bool:
        return (self.folder / "stop").exists()

    @property
    def summary(self) -> str:
        """How it ended, in a line; empty while it runs."""
        result = self.result
        if result is None:
            return self.error or ""
        told = {
            "load": "{samples:,} samples",
            "train": "{run}: {epochs} of {of} epochs",
            "look": "{run}: {suspects:,} suspects",
            "predict": "{run}: {predicted:,} samples predicted",
            "import": "{run}: {predicted:,} predictions, {suspects:,} suspects",
            "score": "{run}: scored",
            "audit": "{run}: {suspects:,} suspects",
            "compare": "{samples:,} of {searched:,} samples have a duplicate",
            "export": "{samples:,} samples written to {target}",
        }[self.kind].format(**{"of": (self.progress or {}).get("epochs"), **result})
        return told + (": stopped, and kept" if result.get("stopped") else "")

    @property
    def seconds(self) -> float:
        """How long it took, or has taken by now; of one that died, until its last sign of life."""
        began = (self.folder / "job.json").stat().st_mtime
        if self.status == RUNNING:
            return time.time() - began
        files = ("result.json", "error.json", "stop", "progress.json", "log.txt")
        times = [path.stat().st_mtime for name in files if (path := self.folder / name).exists()]
        return max(times[0] - began, 0.0) if times else 0.0

    @property
    def epochs_kept(self) -> int:
        """Finished epochs of the training that it was at."""
        return len((self.progress or {}).get("curves") or ())

    @property
    def resumable(self) -> bool:
        """Whether `resume` can go on where it ended."""
        return self.left is not None

    @property
    def left(self) -> str | None:
        """What it left to go on from: TRAINING (some epochs of it), TRAINED (an audit that has yet
        to predict and score), or None."""
        made = self.run
        if not made or self.status in (RUNNING, DONE):
            return None
        kept = Path(made["checkpoint"])
        if kept.exists():
            return None if is_locked(kept.with_suffix(".lock")) else TRAINING
        return TRAINED if self.kind == "audit" and _is_trained(self) else None

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
        ended = self._ending() or (RUNNING if self._alive() else self._ending())
        return ended or (STOPPED if self.stop_asked else DIED)

    def _ending(self) -> str | None:
        if (self.folder / "result.json").exists():
            return DONE
        ending = read(self.folder / "error.json")
        return ending and (STOPPED if ending["stopped"] else FAILED)

    def stop(self) -> None:
        """Ask it to end after its current step, keeping what is there. It is ended, wherever it is,
        if that takes longer than two seconds."""
        if self.status == RUNNING:
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
            child = _children.get(self.folder)
            if child and child.poll() is not None:
                return False
            return abs(time.time() - self.folder.stat().st_mtime) < STARTING_SECONDS
        if is_locked(lock):
            return True
        with suppress(FileNotFoundError):  # it is made a moment before it is held
            return abs(time.time() - lock.stat().st_mtime) < LOCKING_SECONDS
        return False

    def _has_begun(self) -> bool:
        return (self.folder / "alive.lock").exists() or self._ending() is not None


def start(kind: str, dataset: str, **options) -> Job:
    """Begin a job in a process of its own. options: JSON values, as the kind's function takes.

    Raises LabelAuditError where a job on this dataset is running already.
    """
    if kind not in KINDS:
        raise LabelAuditError(f"{kind!r} is no kind of job: the kinds are {', '.join(KINDS)}.")
    with _starting(dataset, options.get("run")):
        return _spawn(kind, dataset, options)


def resume(job: Job) -> Job:
    """Go on with a job that died, failed or was stopped, from its last whole epoch, in a new job.

    Raises LabelAuditError where it left nothing to go on from, or a job on the dataset is running.
    """
    with _starting(job.dataset, job.run_name):
        if not job.resumable:
            raise LabelAuditError(
                f"the job to {job.kind} {job.dataset!r} cannot be resumed: it left no finished "
                "epoch that nobody has gone on with. Run it again."
            )
        return _spawn(job.kind, job.dataset, job.options, job, resumes=job.run)


def run_again(job: Job) -> Job:
    """Do a job that has ended once more, with the same options, in a new job.

    What it left unfinished is cleared away. Raises LabelAuditError as `start` does.
    """
    with _starting(job.dataset, job.run_name):
        discard(job)
        return _spawn(job.kind, job.dataset, job.options, job)


def discard(job: Job) -> None:
    """Clear away the run that a job began and did not finish, with its checkpoint."""
    made = job.run
    if made and job.status != RUNNING:
        with suppress(LabelAuditError):  # the dataset is gone, and the run with it
            run = Dataset(job.dataset).find_run(made)
            if run and run.state == BEGUN and not run.in_training:
                run.abandon()


def check_idle(dataset: str, run: str | None = None) -> None:
    """Raises LabelAuditError where a job is working on this dataset. run: that was to be written
    to."""
    running = running_job(dataset)
    if not running:
        return
    writes = running.run_name
    if run is not None and run == writes:
        raise LabelAuditError(
            f"run {run!r} of dataset {dataset!r} is being written to by another job "
            f"({running.kind}): wait for it, or stop it."
        )
    what = running.kind if writes is None else f"{running.kind}, run {writes!r}"
    raise LabelAuditError(
        f"dataset {dataset!r} is being worked on ({what}): wait for it, or stop it."
    )


def list_jobs(dataset: str | None = None) -> list[Job]:
    """Jobs, latest first; of one dataset if it is named."""
    jobs = [Job(folder) for folder in _folders() if (folder / "job.json").exists()]
    return [job for job in jobs if dataset is None or job.dataset == dataset]


def find_job(job_id: str) -> Job | None:
    """The job of this id; None where there is none."""
    return next((Job(folder) for folder in _folders() if folder.name == job_id), None)


def latest_job(dataset: str, kinds: Sequence[str]) -> Job | None:
    """The latest job on this dataset, if it is of one of these kinds."""
    job = next(iter(list_jobs(dataset)), None)
    return job if job and job.kind in kinds else None


def running_jobs() -> list[Job]:
    """Those that run now, latest first."""
    jobs = [Job(folder) for folder in _folders() if folder not in _over]
    jobs = [job for job in jobs if (job.folder / "job.json").exists()]
    running = [job for job in jobs if job.status == RUNNING]
    # what has ended stays so: its files need not be read again at every page
    _over.update(job.folder for job in jobs if job not in running and job._has_begun())
    return running


def running_job(dataset: str) -> Job | None:
    """The job that works on this dataset now."""
    return next((job for job in running_jobs() if job.dataset == dataset), None)


# --- inside ---

_children: dict[Path, subprocess.Popen] = {}  # that this process started
_over: set[Path] = set()  # folders of jobs that are known to have ended


@contextmanager
def _starting(dataset: str, run: str | None) -> Iterator[None]:
    """Nobody else starts a job on this dataset meanwhile, and none runs."""
    for child in list(_children.values()):
        child.poll()  # reaps it, if it has ended
    with exclusive(paths.lock_path(dataset).with_suffix(".start")):
        check_idle(dataset, run)
        yield
    _prune()


def _spawn(
    kind: str, dataset: str, options: dict, follows: Job | None = None, resumes: dict | None = None
) -> Job:
    now = datetime.now(UTC)
    folder = _root() / f"{_later(now)}-{kind}"
    folder.mkdir(parents=True)
    if resumes:
        write(folder / "run.json", resumes)
    asked = {
        "kind": kind,
        "dataset": dataset,
        "options": options,
        "created": now.isoformat(timespec="seconds"),
        "follows": follows and follows.id,
        "resumes": resumes,
    }
    write(folder / "job.json", asked)
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command("jobs.worker", str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # outlives the server that started it
            env=environment(),
        )
    _children[folder] = process
    return Job(folder)


def _later(now: datetime) -> str:
    """A time for the name of a folder: after those of all jobs, though the clock was set back."""
    form = "%Y%m%d-%H%M%S-%f"
    names = [folder.name.rpartition("-")[0] for folder in _folders()]
    latest = next((name for name in names if re.fullmatch(r"\d{8}-\d{6}-\d{6}", name)), "")
    if f"{now:{form}}" > latest:
        return f"{now:{form}}"
    return f"{datetime.strptime(latest, form) + timedelta(microseconds=1):{form}}"


def _is_trained(job: Job) -> bool:
    """Whether the run that an audit was making is finished and has yet to be scored."""
    try:
        run = Dataset(job.dataset).find_run(job.run)
        return run is not None and run.state == FINISHED and not run.score_names()
    except LabelAuditError:
        return False


def _prune() -> None:
    """Remove the folders of old jobs."""
    for folder in _folders()[KEPT:]:
        if Job(folder).status != RUNNING:
            shutil.rmtree(folder, ignore_errors=True)
            _over.discard(folder)


def _folders() -> list[Path]:
    """Folders of all jobs, latest first."""
    return sorted(_root().glob("*-*"), reverse=True) if _root().exists() else []


def _root() -> Path:
    return paths.jobs_folder()
