"""Commands that train and predict, and the jobs that do."""

from __future__ import annotations

import click

from ..cluster import HERE, PLACES, steps
from ..core.errors import LabelAuditError
from ..core.progress import Task
from ..dataset.dataset import Dataset, list_datasets
from ..learn.config import FIRST_LOOK_RUN, MODELS, SMALL, TrainConfig
from ..scores import SCORES
from ..sources import default_name, load_dataset
from .base import chosen, console_task, emit, example, json_option, main, run_option, split_option
from .brought import (
    class_file_option,
    kind_option,
    out_of_sample_option,
    read_classes,
    score_brought,
)

DEVICE = "What computes: auto (a GPU where there is one), cpu, cuda, mps …"
on_option = click.option(
    "--on", type=click.Choice(PLACES), default=HERE,
    help="ray: by the workers of a Ray cluster, the one that RAY_ADDRESS names or this machine's "
    "cores; needs labelaudit[cluster].",
)  # fmt: skip
STOP_SECONDS = 30  # to wait for a job to end: two, and time to save


def training_options(command):
    """The options that `train` and `audit` share."""
    defaults = TrainConfig()
    options = [
        click.option("--run", help="Name of the run to write.  [default: run-1, run-2 …]"),
        click.option("--model", type=click.Choice(MODELS), default=SMALL,
                     help="small: for images up to 64 pixels; a torchvision net for larger."),
        click.option("--epochs", default=defaults.epochs,
                     help="Times that it learns every sample."),
        click.option("--batch-size", default=defaults.batch_size,
                     help="Samples that it learns at once."),
        click.option("--image-size", type=int,
                     help="Pixels a side that images are brought to.  [default: as they are, at "
                     "most 64 or 224]"),
        click.option("--learning-rate", type=float,
                     help="The largest: it rises to it, then falls.  [default: 0.1; torchvision "
                     "nets 0.01]"),
        click.option("--folds", default=defaults.folds,
                     help="K > 1: K models, so that each sample is also judged by one that did not "
                     "learn it; takes K - 1 times as long."),
        click.option("--device", default=defaults.device, help=DEVICE),
        click.option("--training-seed", type=click.IntRange(min=0), default=defaults.seed,
                     help="Seed of the model's start and of the order of samples."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _config(model, epochs, batch_size, image_size, learning_rate, folds, device, training_seed):
    return TrainConfig(
        model=model, epochs=epochs, batch_size=batch_size, image_size=image_size,
        learning_rate=learning_rate, folds=folds, device=device, seed=training_seed,
    )  # fmt: skip


@main.command(
    "first-look",
    short_help="Find suspects in seconds, without training.",
    **example("labelaudit first-look digits"),
)
@click.argument("dataset")
@click.option("--run", default=FIRST_LOOK_RUN, help="Name of the run to write.")
@json_option
def first_look(dataset, run, as_json) -> None:
    """Predict every sample of DATASET by all the others, without training, and score that: some
    suspects to review while a model trains. It ranks less well than a trained model."""
    from ..pipeline import take_first_look

    look = take_first_look(load_dataset(dataset), run, console_task())
    text = f"{look['run']}: {look['suspects']:,} suspects; `labelaudit suspects {dataset} --run "
    emit(as_json, look, f"{text}{look['run']}` lists them")


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
    help="Go on with this run, which was cut short, with its own settings, on this machine.",
)
@on_option
@json_option
def train(dataset, run, split, cut_short, on, as_json, **options) -> None:
    """Train a model on DATASET, recording how each sample behaves; Ctrl-C keeps what is there.

    A training that was killed is kept up to its last whole epoch: --resume goes on from there.
    """
    from ..learn.train import resume

    by = steps(on)
    if cut_short:
        trained = resume(Dataset(dataset), cut_short, console_task())
    else:
        target = chosen(load_dataset(dataset), split)
        trained = by.train(target, run, _config(**options), console_task())
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
    short_help="Store a run's predictions, or those of your own model.",
    **example("labelaudit predict digits --run run-1"),
)
@click.argument("dataset")
@run_option
@split_option
@click.option("--model", metavar="FILE_OR_NAME",
              help="Your own: a torch.export (.pt2) or TorchScript file, or a network such as "
              "timm:resnet18 or torchvision:resnet18. Its run is scored at once. Such a file is a "
              "program: use none that you do not trust.")  # fmt: skip
@click.option("--weights", help="Of a network that is named: a .safetensors file, or pretrained.")
@class_file_option
@kind_option
@out_of_sample_option
@click.option("--image-size", type=click.IntRange(1, 4096), help="Pixels a side that --model gets.")
@click.option("--preprocess", type=click.Choice(("unit", "imagenet", "uint8")),
              help="What --model gets: numbers from 0 to 1, ImageNet's normalisation, or bytes."
              "  [default: 0 to 1; of a network that is named, its own]")  # fmt: skip
@click.option("--device", default="auto", help=DEVICE)
@click.option("--augment/--no-augment", default=True,
              help="Average over shifted and mirrored copies of each image: surer, but three to "
              "six times slower.")  # fmt: skip
@on_option
@json_option
def predict(dataset, run, split, model, device, augment, on, as_json, **own) -> None:
    """Store a run's predictions (label, confidence, logits) for the samples of DATASET; with
    --model those of your own model, as a run called own unless you name it."""
    if model is not None and on != HERE:
        raise click.UsageError("--model predicts on this machine: leave --on out.")
    by, target = steps(on), chosen(load_dataset(dataset), split)
    if model is not None:
        from ..predictions.predict_with import OWN, predict_with

        own["classes"] = read_classes(own.pop("class_file"))
        kept = predict_with(target, model, run or OWN, device=device, task=console_task(), **own)
        score_brought(kept, dataset, as_json)
        return
    if given := next((name for name, value in own.items() if value), None):
        option = "classes" if given == "class_file" else given.replace("_", "-")
        raise click.UsageError(f"--{option} goes with --model.")
    count = by.predict(target, run, device, console_task(), augment=augment)
    emit(as_json, {"predicted": count}, f"{count:,} samples predicted")


@main.command(
    short_help="Compute and store the scores of a run.",
    **example("labelaudit score digits"),
)
@click.argument("dataset")
@run_option
@click.option("--score", "names", multiple=True, type=click.Choice(list(SCORES)),
              help="Only this score; may be given again.  [default: all that the run has the data "
              "for]")  # fmt: skip
@on_option
@json_option
def score(dataset, run, names, on, as_json) -> None:
    """Compute the scores of a run of DATASET, from its predictions and how samples behaved in
    training, and store them."""
    by = steps(on)
    computed = by.compute_scores(load_dataset(dataset), run, names or None, console_task())
    meanings = [f"{name:18} {SCORES[name].meaning}" for name in computed]
    emit(as_json, {"scores": computed}, "\n".join(meanings))


@main.command(
    short_help="The whole walk: load, train, predict, score, rank.",
    **example("labelaudit audit digits --noise 0.2 --csv suspects.csv"),
)
@click.argument("dataset")
@click.option("--noise", "rate", type=float,
              help="Rehearse: first make this share of the labels wrong, 0 to 1.")  # fmt: skip
@click.option("--noise-kind", type=click.Choice(("uniform", "pair")), default="uniform",
              help="uniform: any wrong class; pair: the next class.")  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    help="Seed of the injected mistakes: the same one makes the same.",
)
@training_options
@click.option("--score", "by", type=click.Choice(list(SCORES)),
              help="What ranks the suspects.  [default: the best that the run has]")  # fmt: skip
@click.option("-k", type=click.IntRange(min=1),
              help="In a rehearsal: among how many suspects to count the mistakes.  [default: as "
              "many as there are mistakes]")  # fmt: skip
@click.option(
    "--csv", "csv_file", type=click.Path(dir_okay=False), help="Write the suspects to this file."
)
@click.option("--first-look/--no-first-look", default=True,
              help="First find suspects without training, to be reviewed meanwhile.")  # fmt: skip
@on_option
@json_option
def audit(
    dataset, rate, noise_kind, seed, run, by, k, csv_file, first_look, on, as_json, **options
) -> None:
    """The whole walk over DATASET: load it, train, predict, score, and rank the suspects.

    DATASET may be a path with a '/', hf:owner/name or s3://bucket/prefix: then it is loaded first,
    under the name that `labelaudit load` would give it. With --noise it is a rehearsal: labels are
    made wrong first, and it says how many were found.
    """
    from ..pipeline import audit as run_audit

    task = console_task()
    result = run_audit(
        _loaded(dataset, task) if "/" in dataset else dataset, noise=rate,
        noise_kind=noise_kind, seed=seed, run=run, config=_config(**options), score=by, k=k,
        first_look=first_look, on=on, task=task,
    )  # fmt: skip
    task.progress.close()
    emit(as_json, result.to_dict(), str(result))
    if csv_file:
        click.echo(f"{result.to_csv(csv_file):,} suspects written to {csv_file}", err=as_json)


def _loaded(source: str, task: Task) -> Dataset:
    """A new dataset of a path or URI."""
    name = default_name(source)
    if name in list_datasets():
        raise LabelAuditError(
            f"there is a dataset {name!r} already: audit that (labelaudit audit {name}), or load "
            f"{source} under another name (labelaudit load {source} --name …)."
        )
    return load_dataset(name, source, task=task)


@main.command(
    short_help="List the app's long work, or stop one.",
    **example("labelaudit jobs digits"),
)
@click.argument("dataset", required=False)
@click.option("--stop", "to_stop", metavar="ID", help="Stop this job, and wait for its end.")
@json_option
def jobs(dataset, to_stop, as_json) -> None:
    """List the jobs (long work that the app started) on DATASET, or all, the latest first."""
    from ..jobs import manager

    if to_stop:
        job = manager.find_job(to_stop)
        if job is None:
            raise LabelAuditError(f"there is no job {to_stop!r}: `labelaudit jobs` lists them.")
        job.stop()
        listed = [job.wait(STOP_SECONDS)]
    else:
        listed = manager.list_jobs(dataset)
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
