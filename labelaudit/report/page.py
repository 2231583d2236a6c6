"""Write the report."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import BadInputError
from ..dataset.target import Target, as_dataset
from ..export.tables import open_sink
from .sections import report_sections

TOP = 100
MAX_TOP = 2000  # suspects; each takes about 4 kB


def write_report(
    dataset: Target, path: str | os.PathLike, run: str | None = None, top: int = TOP
) -> int:
    """Write what was audited, how, what was found and what was decided, as one HTML file.

    run: by default the latest run with predictions; it must have scores. top: the number of
    suspects shown, at most MAX_TOP. The file is written atomically. Returns its size in bytes.
    Raises LabelAuditError if there is no run, it has no scores, or the file cannot be written.
    """
    dataset = as_dataset(dataset, "write_report")
    page = report_html(dataset, run, top).encode()
    with open_sink(path) as sink:
        sink.write(page)
    return len(page)


def report_html(dataset: Target, run: str | None = None, top: int = TOP) -> str:
    """Return the HTML of `write_report`, for a download."""
    dataset = as_dataset(dataset, "report_html")
    if type(top) is not int or not 0 <= top <= MAX_TOP:
        raise BadInputError(f"top={top!r}: give a whole number between 0 and {MAX_TOP:,}.")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,  # names of classes, files and people are not trusted
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (folder / "style.css").read_text()
    template = environment.get_template("page.html")
    return template.render(report_sections(dataset, run, top), style=style)
