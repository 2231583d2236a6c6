"""What the commands share: the group, options, progress bars, and how a result is printed."""

from __future__ import annotations

import json
import signal

import click
import numpy as np
from tqdm import tqdm

from .. import __version__
from ..core.errors import LabelAuditError
from ..core.progress import Progress, Task
from ..dataset.dataset import Dataset
from ..dataset.view import View

SHOWN = 20  # lines of a list, unless told otherwise

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
run_option = click.option("--run", help="Name of the run.  [default: the latest with predictions]")
split_option = click.option("--split", help="Only the samples of this split.")


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


def console_task() -> Task:
    """Return a task that draws progress bars and is stopped by Ctrl-C."""
    return Task(Bar(), Interrupt())


# What the commands of each module are for, in the order in which they are needed.
SECTIONS = {
    "data": "Data", "model": "Models", "brought": "Models", "suspects": "Suspects and verdicts",
    "patches": "Ways out", "export": "Ways out",
}  # fmt: skip


class Group(click.Group):
    """Turns LabelAudit's own errors into one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except LabelAuditError as error:
            raise click.ClickException(str(error)) from error

    def sections(self) -> dict[str, list[str]]:
        """Names of the commands by what they are for, in the order of the source."""
        found: dict[str, list[str]] = {section: [] for section in SECTIONS.values()}
        for name, command in self.commands.items():
            module = command.callback.__module__.rpartition(".")[2]
            found[SECTIONS[module]].append(name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """In sections, in the order in which they are needed: the alphabet tells nothing."""
        for section, names in self.sections().items():
            rows = [(name, self.commands[name].get_short_help_str(limit=100)) for name in names]
            with formatter.section(section):
                formatter.write_dl(rows, col_max=20)


def example(text: str) -> dict:
    """Arguments of a command: its help ends in an example."""
    return {"epilog": f"\b\nExample:\n  {text}"}


def emit(as_json: bool, data, text: str) -> None:
    click.echo(json.dumps(data, indent=2, default=_plain) if as_json else text)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} is no JSON value")


@click.group(
    cls=Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
    epilog="DATASET is a name that `labelaudit datasets` lists; one of the zoo is loaded when it "
    "is first used. Datasets are kept under LABELAUDIT_HOME (~/.labelaudit, or s3://bucket/prefix).\n\n"
    "Exit codes: 0 done, 1 it could not be done (stderr says why and how to mend it), "
    "2 the command was not understood.",
)
@click.version_option(__version__, prog_name="labelaudit")
def main() -> None:
    """Find the wrong labels in an image-classification dataset.

    \b
    To see what it does, on 1,797 digits that come with it, a fifth of them made wrong:
      labelaudit audit digits --noise 0.2
    On images of your own, one folder a class:
      labelaudit load ~/pictures/pets --name pets
      labelaudit audit pets --csv suspects.csv
    """


def chosen(dataset: Dataset, split: str | None) -> Dataset | View:
    """What a command works on: all of a dataset, or one of its splits."""
    return dataset if split is None else dataset.view().match(split=split)
