"""The command line: thin commands over the library. Data goes to stdout, progress to stderr."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
from tqdm import tqdm

from . import __version__
from .dataset import Dataset, delete_dataset, list_datasets
from .errors import LabelAuditError
from .learn.config import MODELS, SMALL, TrainConfig
from .noise import KINDS, inject, restore
from .progress import Progress
from .scores import SCORES
from .sources import ZOO, load_dataset
from .view import View

SHOWN = 20  # suspects listed unless told otherwise
STOP_SECONDS = 30  # to wait for a job to end: two, and time to save


class Bar:
    """A progress callback that draws one bar a stage on stderr (nothing where that is a file)."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            self.close()
            self._stage = progress.stage
            self._bar = tqdm(total=progress.total, desc=progress.stage, disable=None, leave=False)
        self._bar.n = progress.done
        if progress.epoch is not None:
            shown = {"epoch": f"{progress.epoch}/{progress.epochs}"}
            if progress.loss is not None:
                shown["loss"] = f"{progress.loss:.3f}"
            if progress.accuracy is not None:
                shown["accuracy"] = f"{progress.accuracy:.3f}"
            self._bar.set_postfix(shown, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Interrupt:
    """Ctrl-C asks to stop after the current step; a second one ends at once."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.asked = True
        click.echo("stopping after this step; Ctrl-C again to end at once", err=True)

    def __call__(self) -> bool:
        return self.asked


class Group(click.Group):
    """Turns LabelAudit's own errors into one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except LabelAuditError as error:
            raise click.ClickException(str(error)) from error


def example(text: str) -> dict:
    """Arguments of a command: its help ends in an example."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def emit(as_json: bool, data, text: str) -> None:
    click.echo(json.dumps(data, indent=2, default=_plain) if as_json else text)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} is no JSON value")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_option = click.option("--run", help="Name of the run.  [default: the latest]")
split_option = click.option("--split", help="Only the samples of this split.")


@click.group(
    cls=Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
    epilog="Exit codes: 0 done, 1 it could not be done (stderr says why and how to mend it), "
    "2 the command was not understood. Datasets are kept under LABELAUDIT_HOME (~/.labelaudit).",
)
@click.version_option(__version__, prog_name="labelaudit")
def main() -> None:
    """Find the wrong labels in an image-classification dataset."""


@main.command(**example("labelaudit datasets"))
@json_option
def datasets(as_json: bool) -> None:
    """List the datasets here, and those that can be loaded by name."""
    rows = []
    for name in list_datasets():
        info = Dataset(name).info
        rows.append({k: info[k] for k in ("name", "samples", "classes", "runs", "source")})
    zoo = {name: entry.about for name, entry in ZOO.items()}
    table = pd.DataFrame([{**row, "classes": len(row["classes"]), "runs": len(row["runs"])}
                          for row in rows])  # fmt: skip
    lines = [table.to_string(index=False) if rows else "no datasets yet", "", "zoo:"]
    lines += [f"  {name:14} {about}" for name, about in zoo.items()]
    emit(as_json, {"datasets": rows, "zoo": zoo}, "\n".join(lines))


@main.command(
    short_help="Make a dataset of a folder, manifest, zip or zoo name.",
    **example("labelaudit load ~/pictures/pets --name pets"),
)
@click.argument("source")
@click.option("--name", help="Name of the dataset.  [default: the zoo name, or the file's name]")
@click.option("--split", help="Of a zoo dataset: only train or test.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset of this name.")
@json_option
def load(source: str, name: str, split: str, overwrite: bool, as_json: bool) -> None:
    """Make a dataset of SOURCE: a zoo name, a folder of class folders, a manifest (CSV, JSON lines
    or Parquet with filepath and label), or a zip of either."""
    options = {"split": split, "overwrite": overwrite, "progress": Bar(), "stop": Interrupt()}
    if source in ZOO and name in (None, source):
        dataset = load_dataset(source, **options)
    else:
        dataset = load_dataset(name or Path(source).expanduser().absolute().stem, source, **options)
    info = dataset.info
    splits = ", ".join(f"{count:,} {name}" for name, count in info["splits"].items())
    lines = [
        f"{dataset.name}: {info['samples']:,} samples{f' ({splits})' if splits else ''}, "
        f"{len(info['classes'])} classes",
        *_unlabelled(info),
        *_skipped(info["skipped"]),
    ]
    emit(as_json, info, "\n".join(lines))


def _unlabelled(info: dict) -> list[str]:
    count = info["samples"] - info["labelled"]
    return [f"{count:,} have no label: they are predicted, but not scored"] if count else []


def _skipped(skipped: dict) -> list[str]:
    lines = [f"{skipped['count']:,} images were left out:"] if skipped["count"] else []
    lines += [f"  {entry['file']}: {entry['why']}" for entry in skipped["files"][:SHOWN]]
    more = skipped["count"] - SHOWN
    return [*lines, f"  … and {more:,} more"] if more > 0 else lines


@main.command(
    short_help="Make labels wrong on purpose, or take that back.",
    **example("labelaudit noise digits --rate 0.2 --kind pair --pair 3 8"),
)
@click.argument("dataset")
@click.option("--rate", type=float, help="Share of the labels to make wrong, 0 to 1.")
@click.option("--kind", type=click.Choice(KINDS), default="uniform",
              help="uniform: any wrong class; pair: the next class, or --pair; confusion: by "
              "--confusion.")  # fmt: skip
@click.option("--pair", nargs=2, help="Two classes to mix up.")
@click.option("--confusion", type=click.Path(exists=True, dir_okay=False),
              help="CSV without a header: row = class, column = what it is taken for.")  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, help="The same seed makes the same mistakes."
)
@split_option
@click.option("--restore", "take_back", is_flag=True, help="Take injected mistakes back instead.")
@json_option
def noise(dataset, rate, kind, pair, confusion, seed, split, take_back, as_json) -> None:
    """Make some labels of DATASET wrong on purpose, to rehearse; or take that back.

    Noise injected before is taken back first. Changed samples get the tag `mistake`.
    """
    data = load_dataset(dataset)
    if take_back:
        count = restore(data)
        emit(as_json, {"restored": count}, f"{count:,} labels are as they were before")
        return
    if rate is None:
        raise click.UsageError("give --rate, or --restore")
    matrix = None
    if confusion:
        try:
            matrix = np.loadtxt(confusion, delimiter=",", ndmin=2)
        except ValueError as error:
            raise LabelAuditError(f"{confusion} is no matrix of numbers: {error}.") from error
    report = inject(_chosen(data, split), rate, kind, seed, pair, matrix)
    emit(as_json, report.__dict__, str(report))


def _chosen(dataset: Dataset, split: str | None) -> Dataset | View:
    return dataset if split is None else dataset.view().match(split=split)


def training_options(command):
    """The options that `train` and `audit` share."""
    defaults = TrainConfig()
    options = [
        click.option("--run", help="Name of the run to write.  [default: run-1, run-2 …]"),
        click.option("--model", type=click.Choice(MODELS), default=SMALL,
                     help="small: for images up to 64 pixels; a torchvision net for larger."),
        click.option("--epochs", default=defaults.epochs, help="Times through the samples."),
        click.option("--batch-size", default=defaults.batch_size, help="Samples a step."),
        click.option("--image-size", type=int,
                     help="Pixels a side.  [default: as the images are, at most 64 or 224]"),
        click.option("--learning-rate", type=float, help="Peak.  [default: 0.1; backbones 0.01]"),
        click.option("--device", default=defaults.device, help="auto, cpu, cuda, mps …"),
        click.option("--training-seed", type=click.IntRange(min=0), default=defaults.seed,
                     help="Of the model's start."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _config(model, epochs, batch_size, image_size, learning_rate, device, training_seed):
    return TrainConfig(
        model=model, epochs=epochs, batch_size=batch_size, image_size=image_size,
        learning_rate=learning_rate, device=device, seed=training_seed,
    )  # fmt: skip


@main.command(
    short_help="Train a model while every sample is watched.",
    **example("labelaudit train digits --epochs 10"),
)
@click.argument("dataset")
@training_options
@split_option
@click.option(
    "--resume",
    "cut_short",
    metavar="RUN",
    help="Go on with this run, which was cut short, with its own settings.",
)
@json_option
def train(dataset, run, split, cut_short, as_json, **options) -> None:
    """Train a model on DATASET, recording how each sample behaves; Ctrl-C keeps what is there.

    A training that was killed is kept up to its last whole epoch: --resume goes on from there.
    """
    from .learn.train import resume
    from .learn.train import train as train_run

    if cut_short:
        trained = resume(Dataset(dataset), cut_short, Bar(), Interrupt())
    else:
        target = _chosen(load_dataset(dataset), split)
        trained = train_run(target, run, _config(**options), Bar(), Interrupt())
    info = trained.info
    text = (
        f"{trained.name}: {info['epochs']} epochs on {info['learned']:,} samples"
        f"{', stopped early' if info['stopped'] else ''}"
    )
    if info["validation_accuracy"] is not None:
        text += (
            f", validation accuracy {info['validation_accuracy']:.3f} "
            f"on {info['held_out']:,}, {info['seconds']:.1f} s"
        )
    emit(as_json, info, "\n".join([text, *info["notes"]]))


@main.command(
    short_help="Store a run's predictions.",
    **example("labelaudit predict digits --run run-1"),
)
@click.argument("dataset")
@run_option
@split_option
@click.option("--device", default="auto", help="auto, cpu, cuda, mps …")
@click.option("--augment/--no-augment", default=True,
              help="Average over shifted and mirrored copies of each image: surer, but three to "
              "six times slower.")  # fmt: skip
@json_option
def predict(dataset, run, split, device, augment, as_json) -> None:
    """Store a run's predictions (label, confidence, logits) for the samples of DATASET."""
    from .learn.predict import predict as predict_run

    target = _chosen(load_dataset(dataset), split)
    count = predict_run(target, run, device, Bar(), Interrupt(), augment=augment)
    emit(as_json, {"predicted": count}, f"{count:,} samples predicted")


@main.command(
    short_help="Compute and store the scores of a run.",
    **example("labelaudit score digits"),
)
@click.argument("dataset")
@run_option
@click.option("--score", "names", multiple=True, type=click.Choice(list(SCORES)),
              help="Only this one; may be given again.  [default: all]")  # fmt: skip
@json_option
def score(dataset, run, names, as_json) -> None:
    """Compute the scores of a run's predictions and training dynamics, and store them."""
    from .rank import compute_scores

    computed = compute_scores(load_dataset(dataset), run, names or None, Bar(), Interrupt())
    meanings = [f"{name:18} {SCORES[name].meaning}" for name in computed]
    emit(as_json, {"scores": computed}, "\n".join(meanings))


@main.command(
    short_help="List the samples that are most likely labelled wrong.",
    **example("labelaudit suspects digits --given 3 --predicted 8 --csv suspects.csv"),
)
@click.argument("dataset")
@run_option
@click.option("--score", "by", type=click.Choice(list(SCORES)),
              help="What ranks them.  [default: the best that the run has]")  # fmt: skip
@click.option("--given", help="Only samples labelled so.")
@click.option("--predicted", help="Only samples predicted so.")
@click.option("--tag", help="Only samples with this tag.")
@split_option
@click.option("--limit", default=SHOWN, help="How many to print.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Write all of them here.")
@json_option
def suspects(dataset, run, by, given, predicted, tag, split, limit, csv_file, as_json) -> None:
    """List the samples whose label a score speaks against, most suspicious first."""
    from .export import write_suspects
    from .rank import outdated
    from .rank import suspects as ranked

    opened = load_dataset(dataset)
    view = ranked(opened, run, by)
    view = view.match(label=given, prediction=predicted, split=split)
    view = view.match_tag(tag) if tag else view
    table = view.limit(limit).to_pandas().drop(columns="original_label")
    data = {"suspects": len(view), "top": json.loads(table.to_json(orient="records"))}
    lines = [f"{len(view):,} suspects"]
    if stale := outdated(opened.view(run)):
        data["outdated"] = stale
        lines.append(f"{stale:,} labels changed since this run learned: train again to judge them")
    if len(view):
        shown = table.assign(tags=table["tags"].map(" ".join))
        lines.append(shown.to_string(index=False, float_format=lambda value: f"{value:.4f}"))
    if csv_file:
        data["csv"] = csv_file
        lines.append(f"{write_suspects(view, csv_file):,} written to {csv_file}")
    emit(as_json, data, "\n".join(lines))


@main.command(
    short_help="The whole walk: load, train, predict, score, rank.",
    **example("labelaudit audit digits --noise 0.2 --csv suspects.csv"),
)
@click.argument("dataset")
@click.option("--noise", "rate", type=float,
              help="Rehearse: first make this share of the labels wrong, 0 to 1.")  # fmt: skip
@click.option("--noise-kind", type=click.Choice(("uniform", "pair")), default="uniform",
              help="uniform: any wrong class; pair: the next class.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the injected mistakes.")
@training_options
@click.option("--score", "by", type=click.Choice(list(SCORES)),
              help="What ranks the suspects.  [default: the best]")  # fmt: skip
@click.option("-k", type=click.IntRange(min=1),
              help="Suspects to count in.  [default: number of mistakes]")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Write the suspects here.")
@json_option
def audit(dataset, rate, noise_kind, seed, run, by, k, csv_file, as_json, **options) -> None:
    """The whole walk over DATASET: load, (inject mistakes,) train, predict, score, rank."""
    from .auditing import audit as run_audit

    bar = Bar()
    result = run_audit(
        dataset, noise=rate, noise_kind=noise_kind, seed=seed, run=run, config=_config(**options),
        score=by, k=k, progress=bar, stop=Interrupt(),
    )  # fmt: skip
    bar.close()
    emit(as_json, result.to_dict(), str(result))
    if csv_file:
        click.echo(f"{result.to_csv(csv_file):,} suspects written to {csv_file}", err=as_json)


@main.command(
    short_help="Write the labels as they are now.",
    **example("labelaudit export digits labels.csv"),
)
@click.argument("dataset")
@click.argument("file", type=click.Path(dir_okay=False))
@split_option
@json_option
def export(dataset, file, split, as_json) -> None:
    """Write the labels of DATASET as they are now to FILE (.csv, .jsonl or .parquet)."""
    from .export import write_labels

    view = load_dataset(dataset).view()
    count = write_labels(view if split is None else view.match(split=split), file)
    emit(as_json, {"rows": count, "file": file}, f"{count:,} labels written to {file}")


@main.command(
    short_help="List the app's long work, or stop one.",
    **example("labelaudit jobs digits"),
)
@click.argument("dataset", required=False)
@click.option("--stop", "to_stop", metavar="ID", help="Stop this job, and wait for its end.")
@json_option
def jobs(dataset, to_stop, as_json) -> None:
    """List the jobs (long work that the app started) on DATASET, or all, the latest first."""
    from . import jobs as room

    if to_stop:
        job = room.find_job(to_stop)
        if job is None:
            raise LabelAuditError(f"there is no job {to_stop!r}: `labelaudit jobs` lists them.")
        job.stop()
        listed = [job.wait(STOP_SECONDS)]
    else:
        listed = room.list_jobs(dataset)
    rows = [
        {
            "id": job.id,
            "status": job.status,
            "kind": job.kind,
            "dataset": job.dataset,
            "run": job.run_name,
            "started": job.created,
            "seconds": round(job.seconds, 1),
            "result": job.summary,
        }
        for job in listed
    ]
    lines = [
        f"{row['id']}  {row['status']:8} {row['kind']} {row['dataset']}  {row['result']}".rstrip()
        for row in rows
    ]
    emit(as_json, rows, "\n".join(lines) or "no jobs yet")


@main.command(**example("labelaudit delete digits --yes"))
@click.argument("dataset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(dataset, yes, as_json) -> None:
    """Delete DATASET with its runs. The images that it was made of are not touched."""
    opened = Dataset(dataset)
    if not yes:
        click.confirm(f"delete {opened!r}?", abort=True, err=True)
    delete_dataset(dataset)
    emit(as_json, {"deleted": dataset}, f"{dataset} is deleted")


if __name__ == "__main__":
    sys.exit(main(prog_name="labelaudit"))
