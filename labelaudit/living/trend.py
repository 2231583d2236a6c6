"""How good the labels of each batch are: of what came with each sync, or has a tag."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.errors import BadInputError, NotFoundError
from ..dataset import history_log
from ..dataset.dataset import Dataset
from ..dataset.own_fields import BOOL, DATE, NUMBER, TEXT
from ..export.tables import write_table
from ..features.duplicates import duplicates
from ..scores import SCORES
from ..scores.outlier import OUTLIER
from ..storage.schema import REMOVED
from .arrivals import FIRST_LOAD, arrival_steps
from .current_errors import JudgedRun

FIRST, NO_VALUE = "first load", "no value"
MOST_VALUES = 1000  # of a field
COLUMNS = [
    "batch", "added", "labels", "wrong", "low", "high", "share_wrong", "share_low", "share_high",
    "share_reviewed", "corrected", "outliers", "duplicates",
]  # fmt: skip


def trend(
    dataset: Dataset,
    run: str | None = None,
    *,
    tags: Sequence[str] = (),
    field: str | None = None,
) -> pd.DataFrame:
    """Return a row for each batch, oldest first: the first load and each sync that added samples.

    run: by default the latest with predictions. tags: compare the samples with these tags instead,
    for batches that are marked by tags. field: compare the samples by this own field, or by
    `split`, for the people, cameras or places that labels come from: each value is a row, also "no
    value"; the largest share of wrong labels comes first. Dates are compared by month, in order.

    Columns: batch (time of the sync, "first load", the tag or the value), added (all its samples),
    labels (those that are labelled and not removed), wrong, low, high (labels that are wrong now,
    with their interval of 95 %), share_wrong, share_low, share_high and share_reviewed (of
    `labels`), corrected (wrong labels that reviewers found and that are corrected), outliers (NaN
    if the run has no such score), duplicates (NaN if they were not searched for), and `labels:
    NAME` for each
    class. Raises NotFoundError for a run without suspicion or an unknown tag or field, and
    BadInputError for tags and a field together, numbers, and a field of over 1,000 values.
    """
    if tags and field is not None:
        raise BadInputError("give tags or a field to compare, not both.")
    with dataset.steady():
        judged = JudgedRun(dataset, run)
        frame = judged.frame
        unknown = next((tag for tag in tags if tag not in frame.tags), None)
        if unknown is not None:
            raise NotFoundError(f"dataset {dataset.name!r} has no tag {unknown!r}.")
        outlier = None
        if OUTLIER in judged.view.score_names():
            outlier = judged.view.fields.number(OUTLIER) > SCORES[OUTLIER].boundary
        found = duplicates(dataset)
        copies = None if found is None else np.isin(frame.ids, found.ids)
        if field is not None:
            batches = _by_field(judged, field)
        else:
            batches = _tagged(judged, tags) if tags else _synced(judged)
        rows = [_row(judged, name, part, outlier, copies) for name, part in batches]
    table = pd.DataFrame(rows, columns=[*COLUMNS, *(f"labels: {name}" for name in frame.classes)])
    if field is None or field_kind(dataset, field) == DATE:
        return table
    return table.sort_values("share_wrong", ascending=False, kind="stable", ignore_index=True)


def trend_fields(dataset: Dataset) -> list[str]:
    """Return the fields by which `trend` can compare samples."""
    own = [name for name, kind in dataset.fields.items() if kind != NUMBER]
    return [*own, "split"] if dataset.info["splits"] else own


def field_kind(dataset: Dataset, field: str) -> str:
    """Return the kind of a field of `trend_fields`. Raises NotFoundError for an unknown field, and
    BadInputError for numbers."""
    kinds = {**dataset.fields, "split": TEXT}
    if field not in kinds:
        known = ", ".join(kinds)
        raise NotFoundError(
            f"dataset {dataset.name!r} has no field {field!r} to compare: it has {known}."
        )
    if kinds[field] == NUMBER:
        raise BadInputError(
            f"field {field!r} holds numbers, which are no batches: compare tags, or add a field "
            "with the names of ranges."
        )
    return kinds[field]


def _by_field(judged: JudgedRun, field: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each value of a field, and a mask of its samples, bool (n,)."""
    kind = field_kind(judged.dataset, field)
    values = judged.view.values(field)
    if kind == DATE:
        values = np.where(np.isnat(values), None, values.astype("datetime64[M]").astype(str))
    codes, names = pd.factorize(pd.Series(values, dtype=object), sort=kind != BOOL)
    if len(names) > MOST_VALUES:
        raise BadInputError(
            f"field {field!r} has {len(names):,} values, over {MOST_VALUES:,}: compare another "
            "field, or tags."
        )
    for code, name in enumerate(names):
        yield str(name), codes == code
    if (codes < 0).any():
        yield NO_VALUE, codes < 0


def _synced(judged: JudgedRun) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each batch: when it was added, and a mask of its samples, bool (n,)."""
    steps = arrival_steps(judged.frame)
    times = {entry.id: entry.time for entry in history_log.entries(judged.frame)}
    for step in np.unique(steps).tolist():
        name = FIRST if step == FIRST_LOAD else times[step][:16].replace("T", " ")
        yield name, steps == step


def _tagged(judged: JudgedRun, tags: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    for tag in tags:
        yield tag, judged.frame.tagged(tag)


def _row(
    judged: JudgedRun,
    name: str,
    part: np.ndarray,
    outlier: np.ndarray | None,
    copies: np.ndarray | None,
) -> dict:
    frame, errors = judged.frame, judged.errors(part)
    here = part & ~frame.tagged(REMOVED)
    labels = np.bincount(frame.label[part & judged.is_label], minlength=len(frame.classes))
    return {
        "batch": name,
        "added": int(part.sum()),
        "labels": errors.labels,
        "wrong": errors.wrong,
        "low": errors.low,
        "high": errors.high,
        "share_wrong": errors.share(errors.wrong),
        "share_low": errors.share(errors.low),
        "share_high": errors.share(errors.high),
        "share_reviewed": errors.share(errors.reviewed),
        "corrected": int((part & judged.is_corrected).sum()),
        "outliers": np.nan if outlier is None else int((here & outlier).sum()),
        "duplicates": np.nan if copies is None else int((here & copies).sum()),
        **{f"labels: {n}": int(count) for n, count in zip(frame.classes, labels, strict=True)},
    }


def trend_csv(table: pd.DataFrame) -> bytes:
    """Return the result of `trend` as CSV, with names that a spreadsheet would run as formulas
    escaped."""
    sink = io.BytesIO()
    write_table(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue()
