"""Trains a model on several workers, which Ray Train starts, and restarts if one is lost.

Each worker has a share of the samples. All train in step, with averaged gradients, and evaluate
their share after every epoch; the first worker writes the measures of all. After each epoch Ray
stores a checkpoint, the same file as that of a training in a single process.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
import torch

from ..core.errors import BadInputError, LabelAuditError, StoppedError
from ..core.progress import QUIET, Progress, Task, ignore
from ..dataset.dataset import Dataset
from ..dataset.run_lifecycle import begin_run, refuse_second_training
from ..dataset.runs import Run
from ..dataset.view import View
from ..features.device import choose_device
from ..features.image_batches import Images
from ..learn.checkpoint import Checkpoint
from ..learn.config import TrainConfig
from ..learn.plan import Plan, image_size, make_plan
from ..learn.process_group import DistributedGroup
from ..learn.saved_models import pack_weights
from ..learn.training import DivergedError, Training
from ..storage import paths
from ..storage.schema import BEGUN
from .connection import (
    LOOPBACK,
    check_dataset_exists,
    connected,
    environment_options,
    set_up_worker,
    worker_count,
    worker_options,
)
from .coordinator import StopCheck, new_coordinator, run_watched
from .row_blocks import SampleRows

LEAST_SHARE = 16  # samples of each batch per worker, at least
MAX_FAILURES = 5  # losses of workers before the training fails
CHECKPOINT, MODEL, INFO = "training.safetensors", "model.safetensors", "info.json"
WAIT_SECONDS = 0.2


def train(
    target: Dataset | View,
    run: str | None = None,
    config: TrainConfig | None = None,
    task: Task = QUIET,
) -> Run:
    """Do the same as `labelaudit.train`, on the workers of a Ray cluster.

    There is one worker per GPU of the cluster, or per core if it has none, but each gets at least
    LEAST_SHARE samples of a batch. If workers are lost, the training continues from the last whole
    epoch with as many workers as the cluster can then run, and the samples are distributed again.
    Raises LabelAuditError for config.folds > 1, and as `train`.
    """
    config = config or TrainConfig()
    if config.folds > 1:
        raise BadInputError(
            f"folds={config.folds}: on Ray one model learns all; train with folds=1, or on one "
            "machine (on='here')."
        )
    plan = make_plan(target, config)
    if run is not None:
        refuse_second_training(plan.frame, run)
    config = replace(config, threads=config.threads or 1)
    with connected():
        new_run = begin_run(plan.frame, run)
        with new_run.training():
            return _Driver(plan, new_run, config, task).execute()


@dataclass(frozen=True)
class WorkerArguments:
    """The arguments of a worker.

    samples: a reference to the ids, labels, fold and places in the table `samples` of all samples
    that take part.
    """

    home: str
    dataset: str
    classes: list[str]
    run: int
    size: int
    config: dict
    coordinator: Any  # handle of the Coordinator actor
    samples: object


class _Driver:
    """Runs a training on the workers, and finishes its run."""

    def __init__(self, plan: Plan, run: Run, config: TrainConfig, task: Task) -> None:
        self.plan, self.run, self.config, self.task = plan, run, config, task
        self.storage = _storage_path(run)

    def execute(self) -> Run:
        try:
            coordinator = new_coordinator()
            fit = self._trainer(coordinator).fit
            result = run_watched(
                lambda: _in_thread(fit), coordinator, self._on_progress, self.task, None
            )
            self._finish(result, coordinator)
        except BaseException:
            with suppress(Exception):  # the dataset may be deleted; the first error matters more
                if self.run.state == BEGUN and not self.run.checkpoint.exists():
                    self.run.abandon()
            raise
        finally:
            paths.remove(self.storage)
        return self.run

    def _on_progress(self, _: int, report: dict | None) -> None:
        if report:
            self.task.progress(Progress(**report))

    def _trainer(self, coordinator):
        """Return Ray's trainer."""
        import ray
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        plan, frame = self.plan, self.plan.frame
        offsets = frame.offsets("samples", frame.positions(plan.ids))
        arguments = WorkerArguments(
            home=paths.home(),
            dataset=frame.name,
            classes=plan.classes,
            run=self.run.id,
            size=image_size(frame, plan.ids, self.config),
            config=self.config.to_dict(),
            coordinator=coordinator,
            samples=ray.put((plan.ids, plan.labels, plan.fold, offsets)),
        )
        most = min(self.config.batch_size, len(plan.learned)) // LEAST_SHARE
        most = max(min(worker_count(), most), 1)
        on_gpu = "num_gpus" in worker_options(self.config.device)
        return TorchTrainer(
            _work,
            train_loop_config={"arguments": arguments},
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=(1, most) if most > 1 else 1,
                use_gpu=on_gpu,
                resources_per_worker={"CPU": 1, **({"GPU": 1} if on_gpu else {})},
            ),
            run_config=RunConfig(
                name="training",
                **_storage_options(self.storage),
                failure_config=FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                worker_runtime_env={"env_vars": _environment()},
            ),
        )

    def _finish(self, result, coordinator) -> None:
        import ray

        failure = ray.get(coordinator.failed.remote())
        if failure:
            raise failure
        with result.checkpoint.as_directory() as folder:
            info = json.loads(Path(folder, INFO).read_text())
            self.run.finish(info, Path(folder, MODEL).read_bytes())


def _work(loop: dict) -> None:
    """Run a worker."""
    import ray

    arguments: WorkerArguments = loop["arguments"]
    set_up_worker(arguments.home)
    if ray.get(arguments.coordinator.failed.remote()):  # an earlier worker failed
        return
    try:
        check_dataset_exists(arguments.dataset)
        _train_share(arguments)
    except (StoppedError, DivergedError) as error:  # raised by all workers in the same step
        ray.get(arguments.coordinator.fail.remote(error))
    except LabelAuditError as error:
        ray.get(arguments.coordinator.fail.remote(error))
        raise  # ends the workers that wait for this one


def _train_share(arguments: WorkerArguments) -> None:
    """Train on this worker's share of the samples."""
    import ray

    saved = ray.train.get_checkpoint()
    with saved.as_directory() if saved else nullcontext() as folder:
        if folder and Path(folder, MODEL).exists():  # lost after the training had finished
            return
        saved = Checkpoint(Path(folder, CHECKPOINT)) if folder else None
    config, group = TrainConfig.from_dict(arguments.config), DistributedGroup()
    ids, labels, fold, offsets = ray.get(arguments.samples)
    own = group.share(len(ids))
    frame = Dataset(arguments.dataset).view().frame
    plan = Plan(frame, arguments.classes, ids[own], labels[own], fold[own], 1)
    full_plan = Plan(frame, arguments.classes, ids, labels, fold, 1)
    images = Images(SampleRows(frame.store, plan.ids, offsets[own]), plan.ids, arguments.size)
    device, stop = choose_device(config.device), StopCheck(arguments.coordinator)
    if images.nbytes <= config.memory_gb * 2**30:
        images.load(device, Task(stop=stop))
        if not len(images.readable(plan.learned)):
            raise images.nothing_readable()
    run = Run(frame, arguments.run)
    if group.rank == 0:
        run.forget_dynamics_after(saved.epoch if saved else 0)
    torch.manual_seed(config.seed)

    def on_progress(report: Progress) -> None:
        report = replace(report, done=group.size * report.done, total=group.size * report.total)
        arguments.coordinator.advance.remote(0, "", report.to_dict())

    task = Task(on_progress if group.rank == 0 else ignore, stop)
    training = WorkerTraining(
        plan,
        images,
        run,
        config,
        device,
        task,
        saved,
        group=group,
        full_plan=full_plan,
        own_places=own,
    )
    training.execute()


class WorkerTraining(Training):
    """A worker's part of a training.

    Random numbers depend on the seed, the worker and the epoch only, so that a repeated epoch gives
    the same result.
    """

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        seeds = [self.config.seed, self.group.rank, epoch]
        for trainer in self.trainers:
            trainer.rng = np.random.default_rng(seeds)
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def save_epoch(self) -> None:
        super().save_epoch()
        self._report(lambda folder: shutil.copy(self.run.checkpoint, folder / CHECKPOINT))

    def save_result(self, models: list[torch.nn.Module], info: dict | None) -> None:
        def write(folder: Path) -> None:
            (folder / MODEL).write_bytes(pack_weights(models))
            (folder / INFO).write_text(json.dumps({**info, "workers": self.group.size}))

        self._report(write)

    def _report(self, fill: Callable[[Path], object]) -> None:
        """Give Ray a checkpoint, a folder that the first worker fills. All workers must call it."""
        import ray.train

        if self.group.rank != 0:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory(prefix="labelaudit-") as folder:
            fill(Path(folder))
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _storage_path(run: Run) -> str:
    """Return where Ray stores the checkpoints of a run, for all nodes."""
    root = paths.home() if paths.is_remote() else str(paths.local_home())
    return f"{root}/ray/{run.checkpoint.stem}"


def _storage_options(path: str) -> dict:
    """Return Ray's options for a storage path. pyarrow ignores the environment variable for an
    endpoint other than Amazon's."""
    endpoint = os.environ.get("AWS_ENDPOINT", "")
    if not (path.startswith("s3://") and endpoint):
        return {"storage_path": path}
    scheme, _, host = endpoint.partition("://")
    filesystem = pa.fs.S3FileSystem(endpoint_override=host, scheme=scheme)
    return {"storage_path": path.removeprefix("s3://"), "storage_filesystem": filesystem}


def _environment() -> dict[str, str]:
    import ray

    # on a single machine, its name may resolve to an address that it does not listen on
    is_local = ray.util.get_node_ip_address().startswith(LOOPBACK)
    variables = environment_options().get("runtime_env", {}).get("env_vars", {})
    return {**variables, **({"GLOO_SOCKET_IFNAME": "lo"} if is_local else {})}


def _in_thread(work: Callable):
    """Return the result of a function that runs in another thread: in the main thread, Ray would
    handle Ctrl-C."""
    outcomes: list = []

    def run() -> None:
        try:
            outcomes.append((work(), None))
        except BaseException as error:
            outcomes.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(WAIT_SECONDS)
    result, error = outcomes[0]
    if error:
        raise error
    return result
