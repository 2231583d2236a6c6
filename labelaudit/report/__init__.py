"""The report: one HTML file that stands alone, to be sent, printed or kept."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import BadInputError
from ..dataset.dataset import Dataset
from ..export.tables import open_sink
from .facts import gather

TOP = 100
MOST = 2000  # suspects; each takes some 4 kB


def write_report(
    dataset: Dataset, path: str | os.PathLike, run: str | None = None, top: int = TOP
) -> int:
    """Write what was audited, how, what was found and what was decided, as one HTML file without
    scripts and without anything to fetch. Returns its size in bytes.

    run: by default the latest with predictions; it must have scores. top: how many suspects are
    shown, at most MOST. The file appears whole or not at all.
    """
    page = report_html(dataset, run, top).encode()
    with open_sink(path) as sink:
        sink.write(page)
    return len(page)


def report_html(dataset: Dataset, run: str | None = None, top: int = TOP) -> str:
    """What `write_report` writes, in memory (for a download)."""
    if type(top) is not int or not 0 <= top <= MOST:
        raise BadInputError(f"top={top!r}: it must be a whole number between 0 and {MOST:,}.")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    # autoescape: names of classes, files and people come from outside
    pages = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined,
                        trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    style = (folder / "style.css").read_text()
    return pages.get_template("page.html").render(gather(dataset, run, top), style=style)
