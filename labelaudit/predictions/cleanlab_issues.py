"""Imports issues found by cleanlab (Datalab, CleanLearning, CleanVision, Studio) as sample tags.

A column `is_label_issue` becomes the tag `label_issue`, `is_outlier_issue` the tag `outlier_issue`,
and so on. cleanlab's scores are not stored: LabelAudit ranks by its own, and tags filter it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError
from ..dataset import edits, history_log
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Cause
from ..dataset.target import Target, as_dataset
from . import keys
from .matching import check_positions, find_paths, folder_of, with_keys
from .whole_tables import read_table

_ISSUE = re.compile(r"is_(\w+_issue)")
GIVEN = "given_label"
_TRUE, _FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no", ""}
_OTHER = -2  # not a class
FEW = 4  # rows; fewer labels that differ may be chance
LISTED = 20  # rows of a file that are listed; further ones are only counted


def import_issues(dataset: Target, source: str | os.PathLike | pd.DataFrame | np.ndarray) -> dict:
    """Tag the samples of a dataset with the issues that cleanlab found in it.

    source: a CSV, JSON lines or Parquet file, or a data frame, with columns `is_…_issue`; or the
    result of `cleanlab.filter.find_label_issues`: bool (n,), or positions of label issues, int
    (k,).
    Rows are matched to samples by a column `id`, a column of file paths, the index (0 to n - 1 in
    order of ids), or, if there are as many rows as samples, in order of ids. A matched sample
    then has each of these tags only if the source says so, whatever an earlier import set.

    If there is a column `given_label`, it must equal the sample's label: samples relabelled since
    are skipped. If rows are matched by order only, a different label is an error, because then the
    order is wrong.
    Returns the number of rows, the number of samples with each tag, the number of changed samples,
    and the rows that match no sample. The import is one entry in the history.
    Raises NotFoundError if the file does not exist, DamagedError if it cannot be read, and
    BadInputError if it has no issues or cannot be matched; then nothing changes.
    """
    dataset = as_dataset(dataset, "import_issues")
    table, name = _read(source, dataset)
    issues = {edits.check_tag(m[1]): c for c in table.columns if (m := _ISSUE.fullmatch(str(c)))}
    if not issues:
        raise BadInputError(
            f"{name} has no column like is_label_issue: it has "
            f"{', '.join(map(str, table.columns)) or 'none'}."
        )
    frame = dataset.view().frame
    with frame.steady():
        at, by_order = _positions(frame, table, name, folder_of(source))
        masks = {tag: _flags(table[column], name, column) for tag, column in issues.items()}
        rows = np.flatnonzero(at != MISSING)
        if not len(rows):
            raise BadInputError(f"no row of {name} matches a sample of {dataset.name!r}.")
        current = _has_current_label(frame, table, name, at, rows, by_order)
        rows, outdated = rows[current], int((~current).sum())
        ids = frame.ids[at[rows]]
        if len(np.unique(ids)) != len(ids):
            values, counts = np.unique(ids, return_counts=True)
            raise BadInputError(
                f"{name} has {counts.max()} rows for sample {values[counts.argmax()]}: keep one."
            )
    chosen = {tag: mask[rows] for tag, mask in masks.items()}

    def edit(changed: edits.EditedRows) -> None:
        for tag, mask in chosen.items():
            changed.set_tag(tag, mask)

    cause = Cause(history_log.TAG, info={"tag": ", ".join(chosen), "source": name})
    changed = edits.change(frame, ids, edit, cause)
    unmatched = np.flatnonzero(at == MISSING)
    return {
        "rows": len(table),
        "tags": {tag: int(mask.sum()) for tag, mask in chosen.items()},
        "changed": changed,
        "outdated": outdated,
        "unmatched": {"count": len(unmatched), "rows": (unmatched[:LISTED] + 1).tolist()},
    }


def _read(source, dataset: Dataset) -> tuple[pd.DataFrame, str]:
    """Return the table, and its name for errors."""
    if isinstance(source, pd.DataFrame):
        return with_keys(source), "the frame"
    if not isinstance(source, (str, os.PathLike)):
        return _from_array(np.asarray(source), len(dataset)), "the array"
    return read_table(source), Path(source).name


def _from_array(array: np.ndarray, count: int) -> pd.DataFrame:
    if array.dtype == bool and array.shape == (count,):
        return pd.DataFrame({"is_label_issue": array})
    if array.dtype.kind in "iu" and array.ndim == 1:
        odd = array[(array < 0) | (array >= count)]
        if len(odd):
            raise BadInputError(
                f"position {odd[0]} is not a sample: positions are 0 to {count - 1:,}."
            )
        return pd.DataFrame({"is_label_issue": np.isin(np.arange(count), array)})
    raise BadInputError(
        f"the array is {array.dtype} {array.shape}: give bool ({count},), or positions, int (k,)."
    )


def _positions(
    frame: Frame, table: pd.DataFrame, name: str, folder: Path | None
) -> tuple[np.ndarray, bool]:
    """Return the position of each row's sample, int64 (n,), MISSING if there is none; and whether
    rows were matched by order only."""
    names = keys.key_columns(list(table.columns))
    key, column, index = names.id, names.path, names.index
    if key is None and names.either is not None:
        numbers = pd.to_numeric(table[names.either], errors="coerce")
        key, column = (names.either, column) if numbers.notna().all() else (None, names.either)
    if key is not None:
        ids = _numbers(table[key], name, key)
        check_positions(frame, ids, name)
        return _known(frame, ids), False
    if column is None and index is not None:
        values = pd.to_numeric(table[index], errors="coerce")
        if values.isna().any():
            column = index
        else:
            at = _numbers(table[index], name, "index")
            return np.where((at >= 0) & (at < len(frame.ids)), at, MISSING), True
    if column is not None:
        paths = pa.array(table[column].astype(str), pa.string())
        return _known(frame, find_paths(frame, paths, folder)[0]), False
    if len(table) != len(frame.ids):
        raise BadInputError(
            f"{name} has {len(table):,} rows and the dataset {len(frame.ids):,} samples: add a "
            "column id or filepath, or write the file with its index."
        )
    return np.arange(len(table)), True


def _known(frame: Frame, ids: np.ndarray) -> np.ndarray:
    at, known = find(frame.ids, ids)
    return np.where(known, at, MISSING)


def _numbers(values: pd.Series, name: str, column: str) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(float)
    odd = np.flatnonzero(~((numbers == np.floor(numbers)) & (np.abs(numbers) < 2**63)))
    if len(odd):
        raise BadInputError(
            f"{name}, row {odd[0] + 1}: {column} is {values.iloc[odd[0]]!r}, not a whole number."
        )
    return numbers.astype(np.int64)


def _flags(values: pd.Series, name: str, column: str) -> np.ndarray:
    words = values.fillna("").astype(str).str.strip().str.lower()
    true = words.isin(_TRUE).to_numpy()
    odd = np.flatnonzero(~true & ~words.isin(_FALSE).to_numpy())
    if len(odd):
        raise BadInputError(
            f"{name}, row {odd[0] + 1}: {column} is {values.iloc[odd[0]]!r}, not True or False."
        )
    return true


def _has_current_label(
    frame: Frame, table: pd.DataFrame, name: str, at: np.ndarray, rows: np.ndarray, by_order: bool
) -> np.ndarray:
    """Mask, bool (k,), of the rows with `given_label` equal to the sample's present label.

    Raises BadInputError if rows are matched by order only, and a sample never had the label.
    """
    if GIVEN not in table:
        return np.ones(len(rows), bool)
    values = table[GIVEN].iloc[rows].astype(object)
    given = _codes(frame, values)
    label, first = frame.label[at[rows]], frame.original_label[at[rows]]
    first = np.where(first == MISSING, label, first)
    never = (given != label) & (given != first)
    if by_order and never.any():
        row = int(np.flatnonzero(never)[0])
        sample = at[rows[row]]
        has = frame.classes[label[row]] if label[row] != MISSING else None
        raise BadInputError(
            f"{name}, row {rows[row] + 1}: {GIVEN} is {values.iloc[row]!r}, but sample "
            f"{frame.ids[sample]} is {has!r}: sort the rows by id, or add a column id or "
            "filepath."
        )
    if never.sum() > len(never) / 2 and len(never) >= FEW:
        raise BadInputError(
            f"{name}: {GIVEN} is not the label of the sample in {never.sum():,} of {len(never):,} "
            "rows: are the ids positions, or of another dataset?"
        )
    return given == label


def _codes(frame: Frame, values: pd.Series) -> np.ndarray:
    """Return class indices, int64 (k,), of labels given by name, or all by index; MISSING for an
    empty label, and _OTHER for a label that is not a class."""
    words = values.fillna("").astype(str).str.strip()
    codes = pd.Series(np.arange(len(frame.classes)), index=frame.classes).reindex(words).to_numpy()
    if np.isnan(codes).all():
        codes = pd.to_numeric(words, errors="coerce").to_numpy(float)
        fits = (codes >= 0) & (codes < len(frame.classes)) & (codes == np.floor(codes))
        codes = np.where(fits, codes, np.nan)
    codes = np.where(np.isnan(codes), np.where(words == "", MISSING, _OTHER), codes)
    return codes.astype(np.int64)
