"""The whole walkthrough as one call: load, inject mistakes, train, predict, score, rank."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from . import cluster
from .core.errors import StoppedError
from .core.progress import QUIET, Task, never
from .dataset import noise as noise_room
from .dataset.columns import FINISHED
from .dataset.dataset import Dataset
from .dataset.runs import Run
from .dataset.view import View
from .export import write_suspects
from .features.duplicates import ensure_duplicates
from .learn.config import FIRST_LOOK_RUN as LOOK
from .learn.config import TrainConfig
from .learn.plan import Plan, make_plan
from .ranking.evaluation import check_k, evaluate
from .ranking.ranking import check_score, suspects, weakness
from .ranking.scoring import check_score_name, compute_scores
from .scores import SCORES
from .sources import load_dataset
from .storage.paths import check_name

LOOKED_AT = 20_000  # samples up to which a first look comes before training: a minute or less
SHOWN = 10  # suspects in the printed result


@dataclass(frozen=True)
class AuditResult:
    """What an audit found. Print it, or take `suspects` on."""

    dataset: Dataset
    run: str
    score: str  # the one that ranks `suspects`
    suspects: View
    evaluation: pd.DataFrame | None  # one row a score; None where no mistakes were injected
    noise: noise_room.NoiseReport | None
    validation_accuracy: float | None  # against the labels as given
    true_accuracy: float | None  # held-out accuracy against the labels before noise, if injected
    stopped: bool
    seconds: dict[str, float]  # by step
    weakness: str | None = None  # a sentence, where the model learned next to nothing

    def to_csv(self, path) -> int:
        """Write the suspects as `write_suspects` does, most suspicious first. Returns how many."""
        return write_suspects(self.suspects, path)

    def top(self, n: int = SHOWN) -> pd.DataFrame:
        """The first n suspects: id, filepath, given, predicted, the ranking score."""
        table = self.suspects.limit(n).to_pandas()
        table = table.rename(columns={"ground_truth": "given"})
        return table[["id", "filepath", "given", "predicted", self.score]]

    def to_dict(self) -> dict:
        """Everything as plain JSON values; the first suspects only."""
        return {
            "dataset": self.dataset.name,
            "samples": len(self.dataset),
            "classes": self.dataset.classes,
            "run": self.run,
            "score": self.score,
            "validation_accuracy": self.validation_accuracy,
            "true_accuracy": self.true_accuracy,
            "stopped": self.stopped,
            "weakness": self.weakness,
            "suspects": len(self.suspects),
            "top": self.top().to_dict("records"),
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict("records"),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        lines = [
            f"{self.dataset.name}: {len(self.dataset):,} samples, "
            f"{len(self.dataset.classes)} classes, run {self.run}"
            f"{' (stopped early)' if self.stopped else ''}",
        ]
        if self.noise:
            lines.append(f"Rehearsal: {self.noise}.")
        if self.validation_accuracy is not None:
            text = f"Validation accuracy {self.validation_accuracy:.3f} against the given labels"
            if self.true_accuracy is not None:
                text += f", {self.true_accuracy:.3f} against those before the mistakes"
            lines.append(text + ".")
        if self.weakness:
            lines.append(self.weakness)
        title = SCORES[self.score].title
        count = len(self.suspects)
        lines += [
            "",
            f"{count:,} suspects by {title}: {SCORES[self.score].meaning}",
            _indented(self.top()) if count else "  none",
        ]
        if self.evaluation is not None:
            k = self.evaluation["k"][0]
            mistakes = self.evaluation["mistakes"][0]
            lines += [
                "",
                f"Of the first {k:,} of each ranking (there are {mistakes:,} mistakes):",
                _indented(self.evaluation.drop(columns=["k", "mistakes", "samples"])),
            ]
        spent = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.seconds.items())
        return "\n".join([*lines, "", f"Time: {spent}."])


def audit(
    dataset: Dataset | str,
    *,
    noise: float | None = None,
    noise_kind: str = "uniform",
    seed: int = 0,
    run: str | None = None,
    config: TrainConfig | None = None,
    score: str | None = None,
    k: int | None = None,
    first_look: bool = True,
    on: str = "here",
    task: Task = QUIET,
    keep_going: bool = True,
) -> AuditResult:
    """Find the wrong labels of a dataset (or, with `noise`, rehearse on mistakes made on purpose).

    dataset: a Dataset, the name of one, or a zoo name. noise: share of labels to make wrong first
    (0 to 1); None audits the labels as they are, and says how well any noise injected before was
    found. run, config: as in `train`. score: what ranks the suspects, by default the best that the
    run has. first_look: make the run `first-look` before training, so that its suspects can be
    reviewed meanwhile (up to LOOKED_AT samples).
    k: suspects counted in the evaluation, by default as many as there are mistakes.
    on: "here", or "ray" to train, predict and score on a Ray cluster: the one that RAY_ADDRESS
    names, or all cores of this machine. It needs the extra `cluster` (docs/scale.md).
    A stop during training audits with the epochs that are finished; without keep_going it raises
    StoppedError, and `resume_audit` does that later.
    """
    from .features.device import choose_device  # torch takes seconds to import

    clock, steps = _Clock(), cluster.steps(on)
    if isinstance(dataset, str):
        dataset = load_dataset(dataset, task=task)
    clock.lap("load")
    # what can be refused is refused before anything is changed
    config = config or TrainConfig()
    if on == cluster.HERE:
        choose_device(config.device)
    if run is not None:
        check_name(run, "run")
    if score is not None:
        check_score_name(score)
    check_k(k)
    if config.folds > 1:  # the folds keep them together, and may not come about then
        ensure_duplicates(dataset, task)
    plan = make_plan(dataset, config)
    report = None
    if noise is not None:
        report = noise_room.inject(dataset, noise, noise_kind, seed)
        clock.lap("noise")
    if first_look and run != LOOK and len(dataset) <= LOOKED_AT:
        look = take_first_look(dataset, task=task)
        task = _with_look(task, look)
        clock.lap("first look")
    with steps.session():
        trained = steps.train(dataset, run, config, task)
        clock.lap("train")
        task = _heard(trained, task, keep_going)
        walk = _Walk(dataset, trained, plan, report, steps, clock, task)
        return walk.finish(score, k)


def resume_audit(
    dataset: Dataset | str,
    run: str | Run | None = None,
    *,
    score: str | None = None,
    k: int | None = None,
    on: str = "here",
    task: Task = QUIET,
    keep_going: bool = True,
) -> AuditResult:
    """Go on with an audit that was cut short: train from its last whole epoch, predict, score.

    run: by default the training cut short last. One whose training had ended is only predicted and
    scored. Labels are left as they are: noise is not injected again. on: where it is predicted and
    scored; what is left of the training is done here. The rest as in `audit`.
    """
    from .learn.train import resume

    clock, steps = _Clock(), cluster.steps(on)
    dataset = Dataset(dataset) if isinstance(dataset, str) else dataset
    if score is not None:
        check_score_name(score)
    check_k(k)
    if isinstance(run, Run):
        kept, is_trained = run, run.state == FINISHED
    else:
        is_trained = run in dataset.runs and run not in dataset.unfinished_runs
        kept = dataset.run(run) if is_trained else run
    trained = kept if is_trained else resume(dataset, kept, task)
    clock.lap("train")
    task = task if is_trained else _heard(trained, task, keep_going)
    plan = make_plan(dataset, TrainConfig.from_dict(trained.info["config"]))
    with steps.session():
        walk = _Walk(dataset, trained, plan, None, steps, clock, task)
        return walk.finish(score, k)


def take_first_look(
    dataset: Dataset,
    run: str = LOOK,
    task: Task = QUIET,
) -> dict:
    """A first look with its scores. Returns its run's name and how many suspects it has."""
    from .learn.first_look import first_look

    first_look(dataset, run, task)
    compute_scores(dataset, run, task=task)
    return {"run": run, "suspects": len(suspects(dataset, run))}


def _with_look(task: Task, look: dict) -> Task:
    """The same, and every report says that the first look can be reviewed."""
    return replace(task, progress=lambda report: task.progress(replace(report, first_look=look)))


def _heard(trained: Run, task: Task, keep_going: bool) -> Task:
    """What to ask after training: a stop that it has heard of is not asked for again, as what was
    learned is worth being predicted with."""
    info = trained.info
    if info["stopped"] and not keep_going:
        raise StoppedError(
            f"stopped after {info['epochs']} of {info['config']['epochs']} epochs: run "
            f"{trained.name!r} keeps them, but nothing is predicted and scored yet."
        )
    return replace(task, stop=never) if info["stopped"] else task


@dataclass(frozen=True)
class _Walk:
    """An audit from the end of its training on."""

    dataset: Dataset
    trained: Run
    plan: Plan
    noise: noise_room.NoiseReport | None
    steps: cluster.Steps
    clock: _Clock
    task: Task

    def finish(self, score: str | None, k: int | None) -> AuditResult:
        dataset, run, info = self.dataset, self.trained.name, self.trained.info
        self.steps.predict(dataset, run, info["config"]["device"], self.task)
        self.clock.lap("predict")
        self.steps.compute_scores(dataset, run, task=self.task)
        self.clock.lap("score")
        chosen = check_score(self.trained, score)
        evaluation = evaluate(dataset.view(run), k)
        found = suspects(dataset, run, chosen)
        self.clock.lap("rank")
        held_out = self.plan.ids[self.plan.held_out]
        return AuditResult(
            dataset=dataset,
            run=run,
            score=chosen,
            suspects=found,
            evaluation=evaluation,
            noise=self.noise,
            validation_accuracy=info["validation_accuracy"],
            true_accuracy=_true_accuracy(dataset.view(run), held_out),
            stopped=info["stopped"],
            seconds=self.clock.laps,
            weakness=weakness(dataset.view(run)),
        )


def _true_accuracy(view: View, held_out: np.ndarray) -> float | None:
    """Accuracy on the held-out samples against their labels before noise; None without
    noise or such samples."""
    with view.store.steady():
        if noise_room.MISTAKE not in view.frame.tags or not len(held_out):
            return None
        before = noise_room.labels_before_noise(view.frame)
        at = view.frame.positions(held_out)
        return float((view.fields.predictions()[at] == before[at]).mean())


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.laps[step], self._last = now - self._last, now


def _indented(table: pd.DataFrame) -> str:
    text = table.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    return "\n".join(f"  {line}" for line in text.splitlines())
