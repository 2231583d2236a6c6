"""Imports labels by annotator: long tables, own label fields, and exports of Label Studio."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError, DamagedError, NotFoundError
from ..dataset import own_fields
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.target import Target, as_dataset
from ..predictions import keys
from ..predictions.matching import check_both, check_positions, find_paths, folder_of, with_keys
from ..predictions.whole_tables import read_table
from ..sources.label_studio import annotator_choices
from ..sources.labels import LabelNames
from .stored import read_labels, write_labels

ANNOTATOR_NAMES = (
    "annotator", "annotatorid", "annotatorname", "annotators", "worker", "workerid", "rater",
    "raterid", "labeler", "labeller", "labelerid", "completedby", "user", "userid", "username",
    "who", "email",
)  # fmt: skip
LABEL_NAMES = (
    "label", "class", "classname", "category", "choice", "answer", "annotation", "givenlabel",
    "labels", "value",
)  # fmt: skip


def import_annotations(
    dataset: Target,
    source: str | os.PathLike | pd.DataFrame | Sequence[str],
    *,
    annotator: str | None = None,
    label: str | None = None,
    replace: bool = False,
) -> dict:
    """Import the labels that several annotators gave to the samples of a dataset, or of the dataset
    of this name.

    source: a long table with a row per label (a file or a data frame) with a column `id` or a
    column of file paths, one of annotators and one of labels; an export of Label Studio (JSON or
    JSON-MIN); or names of own label fields, one per annotator. annotator, label: the names of these
    columns, if they are unusual; of Label Studio, label is the name of the choices.
    replace: drop all labels of annotators that were imported before. Otherwise a label replaces an
    earlier one of the same annotator for the same sample.

    Returns the numbers of labels, annotators and samples, and of rows that match no sample.
    `consensus` says what follows; the labels of the dataset are not changed.
    Raises NotFoundError for a missing file or field, DamagedError for an unreadable file, and
    BadInputError for a label that is not a class, for two different labels of one annotator for one
    sample, and if no row matches; nothing is changed then.
    """
    dataset = as_dataset(dataset, "import_annotations")
    frame = dataset.view().frame
    with frame.steady():
        if isinstance(source, Sequence) and not isinstance(source, str):
            rows = _from_fields(dataset, source)
        else:
            rows = _from_table(frame, source, annotator, label)
    known = rows["sample"] != MISSING
    if not known.any():
        raise BadInputError(f"no row of {rows.attrs['name']} matches a sample of {dataset.name!r}.")
    new = _once_each(rows[known], rows.attrs["name"])
    with dataset.transaction():
        if not replace:
            new = pd.concat([_stored(frame), new])
            new = new.drop_duplicates(["sample", "annotator"], keep="last")
        write_labels(
            frame,
            new["sample"].to_numpy(np.int64),
            new["annotator"].to_numpy(object),
            new["label"].to_numpy(np.int32),
        )
    return {
        "labels": len(new),
        "annotators": int(new["annotator"].nunique()),
        "samples": int(new["sample"].nunique()),
        "unmatched": int((~known).sum()),
    }


def _stored(frame: Frame) -> pd.DataFrame:
    found = read_labels(frame)
    names = np.array([*found.names, None], object)[found.annotator]
    return pd.DataFrame({"sample": found.sample, "annotator": names, "label": found.label})


def _once_each(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows without repetitions. Raises BadInputError for labels that contradict."""
    rows = rows.drop_duplicates(["sample", "annotator", "label"])
    again = rows[rows.duplicated(["sample", "annotator"], keep=False)]
    if len(again):
        first = again.iloc[0]
        places = again[
            (again["sample"] == first["sample"]) & (again["annotator"] == first["annotator"])
        ]["row"]
        raise BadInputError(
            f"{name}: {first['annotator']!r} gave sample {first['sample']} different labels in "
            f"rows {places.iloc[0]:,} and {places.iloc[1]:,}: keep one of them."
        )
    return rows[["sample", "annotator", "label"]]


def _from_fields(dataset: Dataset, names: Sequence[str]) -> pd.DataFrame:
    """Return the labels in own fields as rows."""
    frame, parts = dataset.view().frame, []
    for name in names:
        field = own_fields.find(frame, name)
        if field.kind != own_fields.LABEL:
            raise BadInputError(
                f"field {name!r} of dataset {dataset.name!r} is a {field.kind}, not a label."
            )
        given = dataset.view().values(name)
        has = np.array([value is not None for value in given], bool)
        parts.append(
            pd.DataFrame(
                {
                    "sample": frame.ids[has],
                    "annotator": name,
                    "label": frame.class_codes(given[has].tolist()),
                }
            )
        )
    if not parts:
        raise BadInputError("no field is named: give the names of label fields.")
    rows = pd.concat(parts, ignore_index=True)
    rows["row"] = np.arange(1, len(rows) + 1)
    rows.attrs["name"] = f"fields {', '.join(names)}"
    return rows


def _from_table(
    frame: Frame, source: str | os.PathLike | pd.DataFrame, annotator: str | None, label: str | None
) -> pd.DataFrame:
    """Return a table's rows: sample (MISSING for none), annotator, label, and row from 1."""
    table, name = _read(source, label)
    if table.attrs.get("label_studio"):
        annotator, label = "annotator", "label"
    who = _column(table, annotator, ANNOTATOR_NAMES, "annotator", name)
    rest = [column for column in table.columns if column != who]
    what = _column(table[rest], label, LABEL_NAMES, "label", name)
    samples = _samples(frame, table.drop(columns=[who, what]), name, folder_of(source))
    people = table[who].astype("string").str.strip()
    empty = np.flatnonzero((people.isna() | (people == "")).to_numpy(bool))
    if len(empty):
        raise BadInputError(f"{name}, row {empty[0] + 1:,}: there is no annotator.")
    reader = LabelNames(f"{name}, column {what!r}", frame.classes)
    places = range(1, len(table) + 1)
    values = zip(table[what].tolist(), places, strict=True)
    names = [reader.name(value, f"row {row:,}") for value, row in values]
    reader.check()
    given = np.array([each is not None for each in names], bool)
    rows = pd.DataFrame(
        {
            "sample": samples[given],
            "annotator": people.to_numpy(object)[given],
            "label": frame.class_codes([each for each in names if each is not None]),
            "row": np.arange(1, len(table) + 1)[given],
        }
    )
    rows.attrs["name"] = name
    return rows


def _read(source: str | os.PathLike | pd.DataFrame, label: str | None) -> tuple[pd.DataFrame, str]:
    """Return a table, and its name for errors."""
    if isinstance(source, pd.DataFrame):
        return with_keys(source), "the frame"
    path = Path(source).expanduser()
    if path.suffix.lower() != ".json":
        return read_table(path), path.name
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist: check the path.") from error
    except (ValueError, OSError) as error:
        words = " ".join(str(error).split())
        raise DamagedError(f"{path} cannot be read ({words}): write it again.") from error
    choices = annotator_choices(tasks, label, path.name)
    table = pd.DataFrame(choices, columns=["candidates", "annotator", "label"])
    table.attrs["label_studio"] = True
    return table, path.name


def _column(
    table: pd.DataFrame, given: str | None, usual: Sequence[str], what: str, name: str
) -> str:
    names = list(table.columns)
    if given is not None and given not in names:
        raise BadInputError(f"{name} has no column {given!r}: it has {', '.join(map(str, names))}.")
    found = given or keys.find([str(each) for each in names], usual)
    if found is None:
        raise BadInputError(
            f"{name} has no column of {what}s: it has {', '.join(map(str, names))}; name it "
            f"({what}=, or --{what})."
        )
    return found


def _samples(frame: Frame, table: pd.DataFrame, name: str, folder: Path | None) -> np.ndarray:
    """Return the id of each row's sample, int64 (n,), MISSING for none."""
    if "candidates" in table:
        return _by_candidates(frame, table["candidates"].tolist(), folder)
    columns = keys.key_columns([str(each) for each in table.columns])
    if not columns.names or columns.index is not None:
        raise BadInputError(
            f"{name} has no column of ids or file paths: it has "
            f"{', '.join(map(str, table.columns)) or 'no further column'}; name one id or filepath."
        )
    values = {
        column: pa.chunked_array([pa.array(table[column], from_pandas=True)])
        for column in columns.names
    }
    found = keys.read_keys(columns, values, name)
    if found.ids is not None:
        known = find(frame.ids, found.ids)[1]
        if found.paths is None or known.any():
            if found.paths is not None and not found.ambiguous:
                check_both(frame, found.ids, found.paths, name, folder)
            check_positions(frame, found.ids, name)
            return np.where(known, found.ids, MISSING)
    assert found.paths is not None
    return _unique_paths(frame, found.paths, name, folder)


def _unique_paths(frame: Frame, paths: pa.Array, name: str, folder: Path | None) -> np.ndarray:
    samples, fits = find_paths(frame, paths, folder)
    unclear = np.flatnonzero(fits > 1)
    if len(unclear):
        row = int(unclear[0])
        raise BadInputError(
            f"{name}, row {row + 1:,}: the paths of {fits[row]:,} samples end in "
            f"{paths[row].as_py()}: give more of the path, or ids."
        )
    return samples


def _by_candidates(
    frame: Frame, candidates: list[Sequence[str]], folder: Path | None
) -> np.ndarray:
    """Return the sample of each row by the first of its possible paths that exactly one has."""
    samples = np.full(len(candidates), MISSING, np.int64)
    for level in range(max(map(len, candidates), default=0)):
        rows = [i for i in np.flatnonzero(samples == MISSING) if len(candidates[i]) > level]
        if rows:
            wanted = pa.array([candidates[i][level] for i in rows], pa.string())
            samples[rows] = find_paths(frame, wanted, folder)[0]
    return samples
