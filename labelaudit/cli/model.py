"""Commands that train, predict and score, and the jobs that do so in the background."""

from __future__ import annotations

import click

from ..cluster import HERE, PLACES, steps
from ..core.errors import BadInputError, NotFoundError
from ..core.plural import counted
from ..core.progress import Task
from ..dataset.dataset import Dataset, list_datasets
from ..features.extractors import AUTO, extractor_names
from ..learn.config import FIRST_LOOK_RUN, MODELS, SMALL, TrainConfig
from ..scores import SCORES
from ..sources import default_name, load_dataset
from .base import (
    Bar,
    Interrupt,
    console_task,
    csv_option,
    emit,
    example,
    in_split,
    json_option,
    main,
    run_option,
    split_option,
)
from .imports import (
    class_file_option,
    kind_option,
    out_of_sample_option,
    read_classes,
    score_import,
)

DEVICE = "Where to compute: auto (a GPU if there is one), cpu, cuda, mps …"
on_option = click.option(
    "--on",
    type=click.Choice(PLACES),
    default=HERE,
    help="ray: use a Ray cluster, at RAY_ADDRESS or on the cores of this machine; needs "
    "labelaudit[cluster].",
)
features_option = click.option(
    "--features",
    default=AUTO,
    help=f"Features of the first look: {', '.join(extractor_names())}, imported ones, or several "
    "joined by +. auto: those that predict the labels best.",
)
STOP_SECONDS = 30  # a job checks every two seconds, and needs time to save


def training_options(command):
    """Add the options that `train` and `audit` share."""
    defaults = TrainConfig()
    options = [
        click.option("--run", help="Name of the run to write.  [default: run-1, run-2 …]"),
        click.option(
            "--model",
            type=click.Choice(MODELS),
            default=SMALL,
            help="small: for images up to 64 pixels; the torchvision networks are for "
            "larger images.",
        ),
        click.option(
            "--epochs", default=defaults.epochs, help="Number of passes over the samples."
        ),
        click.option(
            "--batch-size", default=defaults.batch_size, help="Number of samples per training step."
        ),
        click.option(
            "--image-size",
            type=int,
            help="Side length in pixels to which images are resized.  [default: their own "
            "size, at most 64 or 224]",
        ),
        click.option(
            "--learning-rate",
            type=float,
            help="Peak of the one-cycle schedule.  [default: 0.1; torchvision networks 0.01]",
        ),
        click.option(
            "--folds",
            default=defaults.folds,
            help="K > 1 trains K models, so that each sample is also judged by a model "
            "that was not trained on it; takes K - 1 times as long.",
        ),
        click.option("--device", default=defaults.device, help=DEVICE),
        click.option(
            "--training-seed",
            type=click.IntRange(min=0),
            default=defaults.seed,
            help="Seed of the initial weights and the order of samples.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _config(model, epochs, batch_size, image_size, learning_rate, folds, device, training_seed):
    return TrainConfig(
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        image_size=image_size,
        learning_rate=learning_rate,
        folds=folds,
        device=device,
        seed=training_seed,
    )


@main.command(
    "first-look",
    **example("labelaudit first-look digits"),
)
@click.argument("dataset")
@click.option("--run", default=FIRST_LOOK_RUN, help="Name of the run to write.")
@features_option
@json_option
def first_look(dataset, run, features, as_json) -> None:
    """Predict every sample of DATASET from all the others, without training, and score the
    predictions. After a sync, `audit` may keep earlier ones; this command fits to all again."""
    from ..pipeline import take_first_look

    look = take_first_look(load_dataset(dataset), run, console_task(), features=features)
    text = (
        f"{look['run']}: {counted(look['suspects'], 'suspect')}; list them with "
        f"`labelaudit suspects {dataset} --run {look['run']}`"
    )
    emit(as_json, look, text)


@main.command(**example("labelaudit train digits --epochs 10"))
@click.argument("dataset")
@training_options
@split_option
@click.option(
    "--resume",
    "interrupted",
    metavar="RUN",
    help="Continue this interrupted run on this machine, with its own settings.",
)
@on_option
@json_option
def train(dataset, run, split, interrupted, on, as_json, **options) -> None:
    """Train a model on DATASET and record after every epoch how it predicts each sample.

    Ctrl-C ends the training after the current step and stores the run. A run that was killed is
    stored up to its last complete epoch; --resume continues from there.
    """
    from ..learn.train import resume

    by = steps(on)
    if interrupted:
        trained = resume(Dataset(dataset), interrupted, console_task())
    else:
        target = in_split(load_dataset(dataset), split)
        trained = by.train(target, run, _config(**options), console_task())
    info = trained.info
    text = (
        f"{trained.name}: {counted(info['epochs'], 'epoch')} on "
        f"{counted(info['learned'], 'sample')}"
        f"{', stopped early' if info['stopped'] else ''}"
    )
    if info["validation_accuracy"] is not None:
        text += (
            f", validation accuracy {info['validation_accuracy']:.3f} "
            f"on {info['held_out']:,}, {info['seconds']:.1f} s"
        )
    emit(as_json, info, "\n".join([text, *info["notes"]]))


@main.command(**example("labelaudit predict digits --run run-1"))
@click.argument("dataset")
@run_option
@split_option
@click.option(
    "--model",
    metavar="FILE_OR_NAME",
    help="Predict with your own model: a torch.export (.pt2) or TorchScript file, or a "
    "network such as timm:resnet18 or torchvision:resnet18. The run is scored at once. "
    "A model file is a program: only use files you trust.",
)
@click.option(
    "--weights", help="Weights of a network given by name: a .safetensors file, or pretrained."
)
@class_file_option
@kind_option
@out_of_sample_option
@click.option(
    "--image-size",
    type=click.IntRange(1, 4096),
    help="Side length in pixels of the images given to --model.",
)
@click.option(
    "--preprocess",
    type=click.Choice(("unit", "imagenet", "uint8")),
    help="Input of --model: numbers from 0 to 1, ImageNet normalisation, or bytes."
    "  [default: unit; for a network given by name, its own]",
)
@click.option("--device", default="auto", help=DEVICE)
@click.option(
    "--augment/--no-augment",
    default=True,
    help="Average over shifted and mirrored copies of each image: slightly more "
    "accurate, but three to six times slower.",
)
@on_option
@json_option
def predict(dataset, run, split, model, device, augment, on, as_json, **own) -> None:
    """Store a run's predictions (label, confidence, logits) for the samples of DATASET. With
    --model, store those of your own model as a new run, named own by default."""
    if model is not None and on != HERE:
        raise click.UsageError("--model predicts on this machine only: remove --on.")
    by, target = steps(on), in_split(load_dataset(dataset), split)
    if model is not None:
        from ..predictions.predict_with import OWN, predict_with

        own["classes"] = read_classes(own.pop("class_file"))
        predicted = predict_with(
            target, model, run or OWN, device=device, task=console_task(), **own
        )
        score_import(predicted, dataset, as_json)
        return
    if given := next((name for name, value in own.items() if value), None):
        option = "classes" if given == "class_file" else given.replace("_", "-")
        raise click.UsageError(f"--{option} needs --model.")
    count = by.predict(target, run, device, console_task(), augment=augment)
    emit(as_json, {"predicted": count}, counted(count, "sample", "predicted", "predicted"))


@main.command(**example("labelaudit score digits"))
@click.argument("dataset")
@run_option
@click.option(
    "--score",
    "names",
    multiple=True,
    type=click.Choice(list(SCORES)),
    help="Compute only this score; may be repeated.  [default: all scores the run has data for]",
)
@on_option
@json_option
def score(dataset, run, names, on, as_json) -> None:
    """Compute the scores of a run of DATASET from its predictions and its training dynamics, and
    store them."""
    by = steps(on)
    computed = by.compute_scores(load_dataset(dataset), run, names or None, console_task())
    meanings = [f"{name:18} {SCORES[name].meaning}" for name in computed]
    emit(as_json, {"scores": computed}, "\n".join(meanings))


@main.command(**example("labelaudit audit digits --noise 0.2 --csv suspects.csv"))
@click.argument("dataset")
@click.option(
    "--noise", "rate", type=float, help="Rehearse: first make this share of labels wrong, 0 to 1."
)
@click.option(
    "--noise-kind",
    type=click.Choice(("uniform", "pair")),
    default="uniform",
    help="uniform: any wrong class; pair: the next class.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    help="The same seed plants the same mistakes.",
)
@training_options
@click.option(
    "--score",
    "by",
    type=click.Choice(list(SCORES)),
    help="Score to rank by.  [default: the best score the run has]",
)
@click.option(
    "-k",
    type=click.IntRange(min=1),
    help="In a rehearsal: count the mistakes among the first K suspects.  [default: the "
    "number of mistakes]",
)
@csv_option("Write the suspects to this CSV file.")
@click.option(
    "--first-look/--no-first-look",
    default=True,
    help="Find suspects without training first, to review while the model trains.",
)
@features_option
@click.option(
    "--train/--no-train",
    "trains",
    default=None,
    help="Whether to train a model after the first look.  [default: for images up to 96 pixels, "
    "and after a sync only if over 10% of the labels are new or changed]",
)
@on_option
@json_option
def audit(
    dataset,
    rate,
    noise_kind,
    seed,
    run,
    by,
    k,
    csv_file,
    first_look,
    features,
    trains,
    on,
    as_json,
    **options,
) -> None:
    """Audit DATASET in one go: load it, take a first look, train where it helps, and rank the
    suspects.

    DATASET can be a path containing '/', hf:owner/name or s3://bucket/prefix. It is then loaded
    first, under the name `labelaudit load` would give it. --noise makes it a rehearsal: some labels
    are made wrong first, and the result says how many of them were found.
    """
    from ..pipeline import audit as run_audit

    bar = Bar()
    task = Task(bar, Interrupt())
    # options of the training other than the defaults ask for a training
    config = _config(**options)
    config = None if config == TrainConfig() else config
    result = run_audit(
        _loaded(dataset, task) if "/" in dataset else dataset,
        noise=rate,
        noise_kind=noise_kind,
        seed=seed,
        run=run,
        config=config,
        score=by,
        k=k,
        first_look=first_look,
        features=features,
        train=trains,
        on=on,
        task=task,
    )
    bar.close()
    emit(as_json, result.to_dict(), str(result))
    if csv_file:
        written = counted(result.to_csv(csv_file), "suspect")
        click.echo(f"{written} written to {csv_file}", err=as_json)


def _loaded(source: str, task: Task) -> Dataset:
    """Load a path or URI as a new dataset."""
    name = default_name(source)
    if name in list_datasets():
        raise BadInputError(
            f"the dataset {name!r} already exists: audit it (labelaudit audit {name}), or load "
            f"{source} under another name (labelaudit load {source} --name …)."
        )
    return load_dataset(name, source, task=task)


@main.command(**example("labelaudit jobs digits"))
@click.argument("dataset", required=False)
@click.option("--stop", "to_stop", metavar="ID", help="Stop this job and wait until it has ended.")
@json_option
def jobs(dataset, to_stop, as_json) -> None:
    """List the app's background jobs on DATASET, or all jobs, latest first."""
    from ..jobs import manager

    if to_stop:
        job = manager.find_job(to_stop)
        if job is None:
            raise NotFoundError(f"there is no job {to_stop!r}; `labelaudit jobs` lists all jobs.")
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
