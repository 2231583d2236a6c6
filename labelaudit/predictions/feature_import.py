"""Imports features of the images, made elsewhere, for the first look."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from ..core.errors import BadInputError, DamagedError, NotFoundError
from ..core.progress import QUIET, Task
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.target import Target, as_dataset
from ..features.extractors import AUTO, check_extractor
from ..features.stored import LARGEST, open_features
from ..storage import schema
from ..storage.paths import check_name
from .agreement import check_order, nearest_classes
from .arrays import Source, from_array, open_npy, open_npz
from .importing import SourceLike, existing_file, match_source
from .keys import is_key
from .matching import ORDER, folder_of
from .tables import from_frame, open_parquet

FEATURES = dict.fromkeys(("features", "embeddings", "embedding"))  # names of arrays and columns
VERSION = "imported"
CHECKED_ROWS = 2000  # compared with each other to check the order of the rows
SUFFIXES = (".npy", ".npz", ".parquet")


def import_features(
    dataset: Target,
    source: SourceLike,
    name: str,
    by: str | None = None,
    *,
    task: Task = QUIET,
) -> int:
    """Import features of the images, such as embeddings of your own network. Returns how many.

    The first look then tries them with the built-in ones, and takes them if they predict the labels
    best; `first_look(dataset, features=name)` takes them in any case.

    source: a row for each sample with D numbers: an array (n, D), a pandas frame, or a file.
    - .npy: an array (n, D);
    - .npz: an array `features` or `embeddings`, and optionally `ids` or `filepaths`;
    - .parquet and frames: a column of lists `features` or `embeddings`, or a column for each
      number; and optionally `id` or `filepath`.

    by: "id", "filepath" or "order" (of the ids) to match rows to samples; by default the first of
    these that the source has. Rows that are in order by default must be more similar to rows of the
    same label than by chance. Samples without a row have no features and are left out of a first
    look that uses them. name: letters, digits, ".", "_" and "-"; not that of an extractor. Features
    imported under this name before are replaced. They are stored in half precision.
    Raises BadInputError for rows that match no sample, a number that is not finite, and the name of
    an extractor, NotFoundError without the file, DamagedError if it cannot be read, and
    StoppedError after a stop. Then nothing is stored.
    """
    dataset = as_dataset(dataset, "import_features")
    check_features_name(name)
    frame = dataset.view().frame
    opened = _open(source)
    if not opened.rows:
        raise BadInputError(f"{opened.what} has no rows.")
    key, ids = match_source(frame, opened, by, folder_of(source))
    stage = task.stage("reading features", 2 * opened.rows)
    for values in _checked(opened, ids):  # before anything is stored
        task.check("the import")
        stage.advance(len(values))
    if key == ORDER and by is None:
        _check_order(frame, opened)
    columns = schema.features(opened.width)

    def rows() -> Iterator[pa.RecordBatch]:
        start = 0
        for values in _checked(opened, ids):
            task.check("the import")
            half = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(half.reshape(-1)), opened.width)
            some = pa.array(ids[start : start + len(values)], pa.int64())
            yield pa.record_batch([some, vectors], schema=columns)
            start += len(values)
            stage.advance(len(values))

    with frame.transaction():  # earlier features of this name stay if it is stopped
        features = open_features(frame, name, VERSION, opened.width)
        frame.overwrite(features.table, rows(), columns)
    return opened.rows


def check_features_name(name: str) -> str:
    """Return the name. Raises BadInputError if imported features cannot have it."""
    check_name(name, "features")
    try:
        check_extractor(name)
    except NotFoundError:
        if name != AUTO:
            return name
    raise BadInputError(f"{name!r} is the name of an extractor: import the features as another.")


def _open(source: SourceLike) -> Source:
    if isinstance(source, np.ndarray):
        return from_array(source, "the array")
    if isinstance(source, pd.DataFrame):
        return from_frame(source, _columns(map(str, source.columns)), None, FEATURES)
    path = existing_file(source, "features")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return open_npy(path)
    if suffix == ".npz":
        return open_npz(path, FEATURES)
    if suffix == ".parquet":
        try:
            names = parquet.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise DamagedError(f"{path.name} cannot be read as Parquet: {error}.") from error
        return open_parquet(path, _columns(names), None, FEATURES)
    raise BadInputError(
        f"{path.name} ends in {suffix or 'nothing'!r}: features are read from "
        f"{', '.join(SUFFIXES)}."
    )


def _columns(names) -> list[str]:
    """Return the columns that hold one number of each feature vector."""
    return [name for name in names if not is_key(name)]


def _check_order(frame: Frame, source: Source) -> None:
    """Raise BadInputError if similar features have the same label no more often than by chance, so
    that the rows are probably in another order."""
    labelled = np.flatnonzero(frame.label != MISSING)
    some = np.sort(np.random.default_rng(0).permutation(labelled)[:CHECKED_ROWS])
    parts, start = [], 0
    for values, _ in source.batches():
        inside = some[(some >= start) & (some < start + len(values))]
        parts.append(values[inside - start].astype(np.float32))
        start += len(values)
    given = frame.label[some]
    if len(some):
        nearest = nearest_classes(np.concatenate(parts), given)
        check_order(nearest, given, frame.label, len(frame.classes), source.what)


def _checked(source: Source, ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the features in batches. Raises BadInputError for a number that is not finite."""
    start = 0
    for values, _ in source.batches():
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            raise BadInputError(
                f"{source.what}, row {row + 1:,}: the features of sample {ids[row]} are not all "
                "finite numbers: remove the row, or replace NaN and infinity."
            )
        yield values
        start += len(values)
