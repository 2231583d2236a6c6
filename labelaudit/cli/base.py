"""What the commands share: the lazy group, common options, progress bars and printing results.

This module is imported for every call, so it imports nothing slow at the top.
"""

from __future__ import annotations

import json
import signal
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..core.errors import LabelAuditError, PluginWarning
from ..core.progress import Progress, Task

if TYPE_CHECKING:
    from tqdm import tqdm

    from ..dataset.dataset import Dataset
    from ..dataset.view import View

NO_LABEL = "no label"
LIST_LENGTH = 20  # default number of printed lines
BOM_HELP = "Begin a CSV with a byte order mark, so that Excel shows letters such as é."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
run_option = click.option("--run", help="Name of the run.  [default: the latest with predictions]")


def csv_option(help: str) -> Callable:
    """Return the option that writes the whole result to a CSV file."""
    return click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help=help)


split_option = click.option("--split", help="Use only the samples of this split.")

# The commands by purpose, in the order of their use: module in this folder → {command: summary}.
SECTIONS: dict[str, dict[str, dict[str, str]]] = {
    "In the browser": {
        "app": {"app": "Open the app in the browser."},
    },
    "Data": {
        "data": {
            "datasets": "List your datasets, and those that can be loaded by name.",
            "load": "Load a folder, an image list, a zip, hf:owner/name or a dataset of the zoo.",
            "import-issues": "Tag samples with the issues cleanlab found.",
            "noise": "Plant wrong labels for a rehearsal, or restore the labels.",
            "delete": "Delete a dataset.",
        },
        "classes": {"classes": "List, rename, merge, add or reorder classes."},
        "annotators": {
            "import-annotations": "Import the labels that several annotators gave.",
            "annotators": "Combine the labels of several annotators, and say how good each one is.",
        },
    },
    "Models": {
        "imports": {
            "import-predictions": "Import predictions of your own model.",
            "import-features": "Import features of the images from your own network.",
        },
        "model": {
            "first-look": "Find suspects in seconds, without training.",
            "train": "Train a model and record how it fits every sample.",
            "predict": "Store the predictions of a run or of your own model.",
            "score": "Compute and store the scores of a run.",
            "audit": "Do everything in one go: load, train, predict, score, rank.",
            "jobs": "List the app's background jobs, or stop one.",
        },
    },
    "Review": {
        "suspects": {
            "suspects": "List the samples with the most suspicious labels.",
            "duplicates": "Find duplicate images, and duplicates with different labels.",
            "estimate": "Estimate how many labels are wrong, and when to stop reviewing.",
            "verdicts": "List the reviewers' verdicts and what they would change.",
            "apply": "Apply verdicts or a patch to the labels.",
            "history": "List the label changes, or return to an earlier state.",
        },
        "reviewers": {
            "assign": "Divide the samples among several reviewers.",
        },
    },
    "Every week": {
        "sync": {
            "sync": "List or take over what changed in the source: images, labels, classes.",
        },
        "write_back": {
            "write-back": "Write corrected labels into the file that they came from.",
        },
        "gate": {
            "check": "Decide whether few enough labels are wrong: exit code 0 or 3, for pipelines.",
            "accept": "Accept the labels of suspects, in a file for the repository.",
        },
        "trend": {
            "trend": "Compare the labels of the first load and of each sync, or of tags.",
        },
        "verify": {
            "verify": "Tell whether a folder or an export equals a dataset.",
        },
    },
    "Export and share": {
        "export": {
            "export": "Write the current labels, with or without the images.",
            "report": "Write a report as one HTML file, to send or print.",
        },
        "patches": {
            "patch": "Write the label changes as a file for another copy of the dataset.",
            "merge-patches": "Merge the patches of several people and list their conflicts.",
        },
    },
    "Extend": {
        "plugins": {
            "plugins": "List what installed packages add: scores, formats, features.",
        },
    },
}
_MODULES = {
    name: module
    for modules in SECTIONS.values()
    for module, commands in modules.items()
    for name in commands
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used.

    A LabelAuditError becomes one line on stderr and exit code 1, a PluginWarning one line on
    stderr.
    """

    def invoke(self, ctx: click.Context):
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning(warnings.showwarning)
            try:
                return super().invoke(ctx)
            except LabelAuditError as error:
                raise click.ClickException(str(error)) from error

    def list_commands(self, ctx: click.Context | None = None) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context | None, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES:
            import_module(f".{_MODULES[cmd_name]}", __package__)  # adds its commands to the group
        return super().get_command(ctx, cmd_name)

    def all_commands(self) -> dict[str, click.Command]:
        """Import every command and return them by name."""
        for name in self.list_commands():
            self.get_command(None, name)
        return dict(self.commands)

    def sections(self) -> dict[str, dict[str, str]]:
        """Return the commands' summaries by section and name."""
        return {
            section: {name: text for names in modules.values() for name, text in names.items()}
            for section, modules in SECTIONS.items()
        }

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by purpose instead of alphabetically."""
        for section, summaries in self.sections().items():
            with formatter.section(section):
                formatter.write_dl(list(summaries.items()), col_max=20)


def _show_warning(show_other: Callable) -> Callable:
    def show(message: Warning | str, category: type[Warning], *where, **details) -> None:
        if issubclass(category, PluginWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            show_other(message, category, *where, **details)

    return show


class Bar:
    """A progress callback that draws one bar per stage on stderr, if that is a terminal."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage:
            from tqdm import tqdm

            self.close()
            self._stage = progress.stage
            self._bar = tqdm(total=progress.total, desc=progress.stage, disable=None, leave=False)
        self._bar.n = progress.done
        if progress.epoch is not None:
            details = {"epoch": f"{progress.epoch}/{progress.epochs}"}
            if progress.loss is not None:
                details["loss"] = f"{progress.loss:.3f}"
            if progress.accuracy is not None:
                details["accuracy"] = f"{progress.accuracy:.3f}"
            self._bar.set_postfix(details, refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Interrupt:
    """A stop check for Ctrl-C: the first one stops after the current step, the second at once."""

    def __init__(self) -> None:
        self.requested = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.requested = True
        click.echo("stopping after the current step; press Ctrl-C again to stop now", err=True)

    def __call__(self) -> bool:
        return self.requested


def console_task() -> Task:
    """Return a task that draws progress bars and is stopped by Ctrl-C."""
    return Task(Bar(), Interrupt())


def example(text: str) -> dict:
    """Return the arguments of a command that make its help end with an example."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def emit(as_json: bool, data, text: str) -> None:
    """Print the data as JSON, or the text, without characters that control a terminal."""
    click.echo(json.dumps(data, indent=2, default=_plain) if as_json else _escaped(text, "\n\t"))


def one_line(name: str) -> str:
    """Return the name of a file or class on one line: characters that cannot be printed escaped."""
    return _escaped(name, "")


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def _plain(value):
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} is not a JSON value")


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
    epilog="DATASET is a name listed by `labelaudit datasets`. A dataset of the zoo is loaded on "
    "first use. Datasets are stored in LABELAUDIT_HOME (default ~/.labelaudit; s3://bucket/prefix "
    "also works).\n\n"
    "Exit codes: 0 success, 1 failure (stderr says why and how to fix it), 2 wrong usage, 3 "
    "`check` did not pass or `verify` found a difference.",
)
@click.version_option(__version__, prog_name="labelaudit")
def main() -> None:
    """Find the wrong labels in an image-classification dataset.

    \b
    Try it on 1,797 bundled digits, with a fifth of their labels made wrong:
      labelaudit audit digits --noise 0.2
    Audit your own images, one folder per class:
      labelaudit load ~/pictures/pets --name pets
      labelaudit audit pets --csv suspects.csv
    Work in the browser:
      labelaudit app
    """


def in_split(dataset: Dataset, split: str | None) -> Dataset | View:
    """Return the dataset, or a view of one of its splits."""
    return dataset if split is None else dataset.view().match(split=split)
