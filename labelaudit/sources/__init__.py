"""Ways to load a dataset. A source yields batches of new samples; `load_dataset` stores them.

To add a source, write a file with a function that opens it and add one line to `LIST_FORMATS` (a
file that lists images) or `FOLDER_FORMATS` (a folder or zip) in `registry.py`. Another package
registers a `ListFormat` or a `FolderFormat` as an entry point in its `pyproject.toml`:

    [project.entry-points."labelaudit.sources"]
    voc = "my_package.voc:FORMAT"

May import: dataset, storage, scores and core.
"""

from .image_list import ImageList, ListFile
from .load import default_name, load_arrays, load_dataset, load_huggingface
from .manifest import SUFFIXES
from .preview import ClassPreview, Preview, preview_dataset
from .registry import FolderFormat, ListFormat, help_lines
from .source import Source
from .zoo import ZOO

__all__ = [
    "SUFFIXES",
    "ZOO",
    "ClassPreview",
    "FolderFormat",
    "ImageList",
    "ListFile",
    "ListFormat",
    "Preview",
    "Source",
    "default_name",
    "help_lines",
    "load_arrays",
    "load_dataset",
    "load_huggingface",
    "preview_dataset",
]
