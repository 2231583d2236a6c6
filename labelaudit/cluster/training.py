"""Training by several workers: Ray Train begins them, and begins them anew when one is lost.

Each has a share of the samples, learns it in step with the others (the mean of their gradients is
taken), and is asked about it after every epoch. The first of them writes what all have seen. After
each epoch Ray keeps a checkpoint, the same file as a training of one process leaves.
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

import numpy as np
import pyarrow as pa
import pyarrow.fs
import torch

from ..core.errors import LabelAuditError, StoppedError
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
from ..learn.saved_models import weights_of
from ..learn.team import Ranks
from ..learn.train import DivergedError, Training
from ..storage import paths
from ..storage.schema import BEGUN
from .message_board import Asker, new_board, watched
from .row_blocks import Rows
from .start import LOOPBACK, begin_worker, check_seen, connected, needs, settings, workers

LEAST_SHARE = 16  # samples of each step that a worker learns, at least
LOST = 5  # times that workers may be lost before it is given up
KEPT, MODEL, INFO = "training.safetensors", "model.safetensors", "info.json"
WAIT_SECONDS = 0.2


def train(
    target: Dataset | View,
    run: str | None = None,
    config: TrainConfig | None = None,
    task: Task = QUIET,
) -> Run:
    """`labelaudit.train` by the workers of a Ray cluster: a run like any other.

    As many workers take part as the cluster has GPUs, or else cores, but no more than leave
    LEAST_SHARE samples of each batch to each. When some are lost, those that the cluster then has
    room for go on from the last whole epoch; the samples are shared out anew among them.
    Raises LabelAuditError for config.folds > 1; the rest as in `train`.
    """
    config = config or TrainConfig()
    if config.folds > 1:
        raise LabelAuditError(
            f"folds={config.folds}: on Ray one model learns all; train with folds=1, or on one "
            "machine (on='here')."
        )
    plan = make_plan(target, config)
    if run is not None:
        refuse_second_training(plan.frame, run)
    config = replace(config, threads=config.threads or 1)
    with connected():
        kept = begin_run(plan.frame, run)
        with kept.training():
            return _Trainer(plan, kept, config, task).run()


@dataclass(frozen=True)
class Given:
    """What a worker is told: of all samples that take part ids, labels, fold and the place of the
    row in `samples`; a reference to these."""

    paths: str
    dataset: str
    classes: list[str]
    run: int
    size: int
    config: dict
    board: object
    samples: object


class _Trainer:
    def __init__(self, plan: Plan, kept: Run, config: TrainConfig, task) -> None:
        self.plan, self.kept, self.config = plan, kept, config
        self.task = task
        self.place = _storage(kept)

    def run(self) -> Run:
        try:
            board = new_board()
            fit = self._trainer(board).fit
            result = watched(lambda: _apart(fit), board, self._heard, self.task, None)
            self._finish(result, board)
        except BaseException:
            with suppress(Exception):  # the dataset may be gone; what went wrong first counts
                if self.kept.state == BEGUN and not self.kept.checkpoint.exists():
                    self.kept.abandon()
            raise
        finally:
            paths.remove(self.place)
        return self.kept

    def _heard(self, _: int, report: dict | None) -> None:
        if report:
            self.task.progress(Progress(**report))

    def _trainer(self, board):
        import ray
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        plan, frame, asked = self.plan, self.plan.frame, needs(self.config.device)
        offsets = frame.offsets("samples", frame.positions(plan.ids))
        given = Given(
            paths.home(), frame.name, plan.classes, self.kept.id,
            image_size(frame, plan.ids, self.config), self.config.to_dict(), board,
            ray.put((plan.ids, plan.labels, plan.fold, offsets)),
        )  # fmt: skip
        most = min(self.config.batch_size // LEAST_SHARE, len(plan.learned) // LEAST_SHARE)
        most = max(min(workers(), most), 1)
        on_gpu = "num_gpus" in asked
        return TorchTrainer(
            _learn,
            train_loop_config={"given": given},
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpu else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=(1, most) if most > 1 else 1, use_gpu=on_gpu,
                resources_per_worker={"CPU": 1, **({"GPU": 1} if on_gpu else {})},
            ),
            run_config=RunConfig(
                name="training", **_kept_at(self.place),
                failure_config=FailureConfig(max_failures=LOST),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                worker_runtime_env={"env_vars": _environment()},
            ),
        )  # fmt: skip

    def _finish(self, result, board) -> None:
        import ray

        failure = ray.get(board.failed.remote())
        if failure:
            raise failure
        with result.checkpoint.as_directory() as folder:
            info = json.loads(Path(folder, INFO).read_text())
            self.kept.finish(info, Path(folder, MODEL).read_bytes())


def _learn(loop: dict) -> None:
    """What each worker does."""
    import ray

    given: Given = loop["given"]
    begin_worker(given.home)
    if ray.get(given.board.failed.remote()):  # by one that was here before
        return
    try:
        check_seen(given.dataset)
        _share(given)
    except (StoppedError, DivergedError) as error:  # all of them at the same step
        ray.get(given.board.fail.remote(error))
    except LabelAuditError as error:
        ray.get(given.board.fail.remote(error))
        raise  # it ends those who wait for this one


def _share(given: Given) -> None:
    import ray

    saved = ray.train.get_checkpoint()
    with saved.as_directory() if saved else nullcontext() as folder:
        if folder and Path(folder, MODEL).exists():  # lost when all was done
            return
        saved = Checkpoint(Path(folder, KEPT)) if folder else None
    config, team = TrainConfig.from_dict(given.config), Ranks()
    ids, labels, fold, offsets = ray.get(given.samples)
    own = team.share(len(ids))
    frame = Dataset(given.dataset).view().frame
    plan = Plan(frame, given.classes, ids[own], labels[own], fold[own], 1)
    whole = Plan(frame, given.classes, ids, labels, fold, 1)
    images = Images(Rows(frame.store, plan.ids, offsets[own]), plan.ids, given.size)
    device, asker = choose_device(config.device), Asker(given.board)
    if images.nbytes <= config.memory_gb * 2**30:
        images.hold(device, Task(stop=asker))
        if not len(images.readable(plan.learned)):
            raise images.nothing_readable()
    run = Run(frame, given.run)
    if team.rank == 0:
        run.forget_dynamics_after(saved.epoch if saved else 0)
    torch.manual_seed(config.seed)

    def told(report: Progress) -> None:
        done, total = team.size * report.done, team.size * report.total
        given.board.tell.remote(0, "", replace(report, done=done, total=total).to_dict())

    task = Task(told if team.rank == 0 else ignore, asker)
    Share(plan, images, run, config, device, task, saved, team=team, whole=whole, own=own).execute()


class Share(Training):
    """A worker's part of a training. What is random follows from the seed, the worker and the
    epoch, so that an epoch which is begun again comes to the same."""

    def epoch_begins(self, epoch: int) -> None:
        super().epoch_begins(epoch)
        seeds = [self.config.seed, self.team.rank, epoch]
        for learner in self.learners:
            learner.rng = np.random.default_rng(seeds)
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))

    def keep_epoch(self) -> None:
        super().keep_epoch()
        self._report(lambda folder: shutil.copy(self.run.checkpoint, folder / KEPT))

    def keep_model(self, models: list[torch.nn.Module], info: dict | None) -> None:
        def write(folder: Path) -> None:
            (folder / MODEL).write_bytes(weights_of(models))
            (folder / INFO).write_text(json.dumps({**info, "workers": self.team.size}))

        self._report(write)

    def _report(self, fill: Callable[[Path], object]) -> None:
        """Give Ray a checkpoint: the folder that the first one fills. All make this call."""
        import ray.train

        if self.team.rank != 0:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory(prefix="labelaudit-") as folder:
            fill(Path(folder))
            ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(folder))


def _storage(kept: Run) -> str:
    """Where Ray keeps the checkpoints of a run, for all nodes."""
    root = paths.home() if paths.is_remote() else str(paths.local_home())
    return f"{root}/ray/{kept.checkpoint.stem}"


def _kept_at(place: str) -> dict:
    """The same as Ray takes it: pyarrow does not know the variable for an endpoint that is not
    Amazon's."""
    endpoint = os.environ.get("AWS_ENDPOINT", "")
    if not (place.startswith("s3://") and endpoint):
        return {"storage_path": place}
    scheme, _, host = endpoint.partition("://")
    filesystem = pa.fs.S3FileSystem(endpoint_override=host, scheme=scheme)
    return {"storage_path": place.removeprefix("s3://"), "storage_filesystem": filesystem}


def _environment() -> dict[str, str]:
    import ray

    # on a machine alone: what its name resolves to may be no address that it listens on
    alone = ray.util.get_node_ip_address().startswith(LOOPBACK)
    known = settings().get("runtime_env", {}).get("env_vars", {})
    return {**known, **({"GLOO_SOCKET_IFNAME": "lo"} if alone else {})}


def _apart(work: Callable):
    """What a function returns, in a thread of its own: in the main one Ray would take Ctrl-C for
    itself."""
    box: list = []

    def run() -> None:
        try:
            box.append((work(), None))
        except BaseException as error:
            box.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(WAIT_SECONDS)
    result, error = box[0]
    if error:
        raise error
    return result
