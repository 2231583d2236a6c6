"""Starts, resumes, repeats and lists jobs. A job is one folder; `files.py` lists what is in it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..core.errors import BadInputError, BusyError, LabelAuditError
from ..dataset.dataset import Dataset
from ..storage import paths
from ..storage.locks import exclusive
from ..storage.schema import BEGUN
from . import launcher
from .files import REQUEST, RUN, RUNNING, write_json
from .job import Job
from .kinds import KINDS

MAX_FOLDERS = 200  # folders of older jobs are deleted

_over: set[Path] = set()  # folders of jobs that are known to have ended


def start(kind: str, dataset: str, **options) -> Job:
    """Start a job. options: JSON values, the arguments of the kind's function.

    Raises LabelAuditError if the kind does not exist or a job is running on this dataset.
    """
    if kind not in KINDS:
        raise BadInputError(f"there is no job kind {kind!r}: use one of {', '.join(KINDS)}.")
    with _starting(dataset, options.get("run")):
        return _launch(kind, dataset, options)


def resume(job: Job) -> Job:
    """Continue a job that died, failed or was stopped from its last finished epoch, in a new job.

    Raises LabelAuditError if it left nothing to continue or a job is running on its dataset.
    """
    with _starting(job.dataset, job.run_name):
        if not job.resumable:
            raise BadInputError(
                f"the job to {job.action} cannot be resumed: it left no finished epoch, or "
                "another job has resumed it. Run it again."
            )
        return _launch(job.kind, job.dataset, job.options, job, resumes=job.run)


def run_again(job: Job) -> Job:
    """Repeat an ended job with the same options, in a new job.

    Deletes its unfinished run. Raises LabelAuditError as `start` does.
    """
    with _starting(job.dataset, job.run_name):
        discard(job)
        return _launch(job.kind, job.dataset, job.options, job)


def discard(job: Job) -> None:
    """Delete the run that an ended job started and did not finish, with its checkpoint."""
    marks = job.run
    if marks and job.status != RUNNING:
        with suppress(LabelAuditError):  # the dataset was deleted, and the run with it
            run = Dataset(job.dataset).find_run(marks)
            if run and run.state == BEGUN and not run.in_training:
                run.abandon()


def check_idle(dataset: str, run: str | None = None) -> None:
    """Raises LabelAuditError if a job is running on this dataset.

    run: the run that the caller wants to write, for the message.
    """
    running = running_job(dataset)
    if not running:
        return
    title = running.title
    if run is not None and run == running.run_name:
        raise BusyError(
            f"another job writes run {run!r} of dataset {dataset!r} ({title}): wait for it, or "
            "stop it."
        )
    raise BusyError(f"a job is running on dataset {dataset!r} ({title}): wait for it, or stop it.")


def list_jobs(dataset: str | None = None) -> list[Job]:
    """Jobs, latest first. dataset: only the jobs of this one."""
    jobs = [Job(folder) for folder in _folders() if (folder / REQUEST).exists()]
    return [job for job in jobs if dataset is None or job.dataset == dataset]


def find_job(job_id: str) -> Job | None:
    """The job with this id. None if it does not exist."""
    return next((Job(folder) for folder in _folders() if folder.name == job_id), None)


def latest_job(dataset: str, kinds: Sequence[str]) -> Job | None:
    """The latest job on this dataset if it is of one of these kinds, else None."""
    job = next(iter(list_jobs(dataset)), None)
    return job if job and job.kind in kinds else None


def running_jobs() -> list[Job]:
    """The jobs that are running now, latest first."""
    jobs = [Job(folder) for folder in _folders() if folder not in _over]
    jobs = [job for job in jobs if (job.folder / REQUEST).exists()]
    running = [job for job in jobs if job.status == RUNNING]
    # Every page asks, so the files of ended jobs are not read each time.
    _over.update(job.folder for job in jobs if job not in running and job.is_over())
    return running


def running_job(dataset: str) -> Job | None:
    """The job that is running on this dataset, or None."""
    return next((job for job in running_jobs() if job.dataset == dataset), None)


# --- inside ---


@contextmanager
def _starting(dataset: str, run: str | None) -> Iterator[None]:
    """Check that no job runs on this dataset, and keep others from starting one meanwhile."""
    with exclusive(paths.lock_path(dataset).with_suffix(".start")):
        check_idle(dataset, run)
        yield
    _delete_old_folders()


def _launch(
    kind: str, dataset: str, options: dict, follows: Job | None = None, resumes: dict | None = None
) -> Job:
    now = datetime.now(UTC)
    folder = paths.jobs_folder() / f"{_next_timestamp(now)}-{kind}"
    folder.mkdir(parents=True)
    if resumes:
        write_json(folder / RUN, resumes)
    request = {
        "kind": kind,
        "dataset": dataset,
        "options": options,
        "created": now.isoformat(timespec="seconds"),
        "follows": follows and follows.id,
        "resumes": resumes,
    }
    write_json(folder / REQUEST, request)
    launcher.current.launch(folder)
    return Job(folder)


def _next_timestamp(now: datetime) -> str:
    """A timestamp for the name of a new folder. It is later than those of all jobs, even if the
    clock was set back."""
    form = "%Y%m%d-%H%M%S-%f"
    names = [folder.name.rpartition("-")[0] for folder in _folders()]
    latest = next((name for name in names if re.fullmatch(r"\d{8}-\d{6}-\d{6}", name)), "")
    if f"{now:{form}}" > latest:
        return f"{now:{form}}"
    return f"{datetime.strptime(latest, form) + timedelta(microseconds=1):{form}}"


def _delete_old_folders() -> None:
    for folder in _folders()[MAX_FOLDERS:]:
        if Job(folder).status != RUNNING:
            shutil.rmtree(folder, ignore_errors=True)
            _over.discard(folder)


def _folders() -> list[Path]:
    """Folders of all jobs, latest first."""
    root = paths.jobs_folder()
    return sorted(root.glob("*-*"), reverse=True) if root.exists() else []
