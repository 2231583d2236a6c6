"""Ways to write a dataset: suspects as CSV, and labels with images in formats that others read.

To add a format, write a file with a function that writes `Samples` to an `Output`, and add one line
to `FORMATS` in `formats.py`. Another package registers a `Format` as an entry point in its
`pyproject.toml`; the name of the entry point is the name of the format:

    [project.entry-points."labelaudit.exports"]
    voc = "my_package.voc:FORMAT"

May import: dataset, storage, scores and core.
"""

from .checks import format_bytes
from .dataset_export import Exported, absolute, check_export, export_dataset, write_labels
from .downloads import Survey, export_zip, manifest_bytes, survey
from .formats import FORMATS, MANIFEST, Format, all_formats
from .outputs import Output
from .samples import Samples
from .suspects import suspects_csv, write_suspects
from .tables import write_table

__all__ = [
    "FORMATS",
    "MANIFEST",
    "Exported",
    "Format",
    "Output",
    "Samples",
    "Survey",
    "absolute",
    "all_formats",
    "check_export",
    "export_dataset",
    "export_zip",
    "format_bytes",
    "manifest_bytes",
    "survey",
    "suspects_csv",
    "write_labels",
    "write_suspects",
    "write_table",
]
