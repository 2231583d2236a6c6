"""Everything that is known about earlier on-disk formats.

A dataset is upgraded in memory when it is read; the next write of `meta` stores the new format. Add
a step to MIGRATIONS when `schema.FORMAT` increases, and a column to ADDED_COLUMNS when a table gets
one that earlier versions can ignore.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from ..core.errors import DamagedError
from ..storage import schema


def _first_number(meta: dict) -> dict:
    """Format 0 is the first one, before `meta` contained a number."""
    return {**meta, "format": 1}


def _same(meta: dict) -> dict:
    """Format 2 has a snapshot, see `conversion`. What `meta` says is the same."""
    return {**meta, "format": 2}


# Format number -> function that converts a `meta` of this format to the next one.
MIGRATIONS: dict[int, Callable[[dict], dict]] = {0: _first_number, 1: _same}

# Columns that tables of format 1 and 2 may lack, by kind of table. They read as null.
ADDED_COLUMNS = {
    "predictions": ("embedding",),
    "dynamics": ("out_margin", "out_p_label", "fold"),
    "scores": ("suggested", "suggested_p"),
}


def upgrade(dataset: str, meta: dict) -> dict:
    """Convert a dataset's `meta` to the current format.

    Raises DamagedError if a newer version of LabelAudit wrote it.
    """
    if meta.get("format", 0) > schema.FORMAT:
        raise DamagedError(
            f"dataset {dataset!r} was written by a newer LabelAudit (format {meta['format']}, this "
            f"one reads up to {schema.FORMAT}): update LabelAudit, or open it with the newer one."
        )
    while (number := meta.get("format", 0)) < schema.FORMAT:
        meta = MIGRATIONS[number](meta)
    return meta


# Keys of `meta` in format 1 while two tables were being written: the classes and the samples that
# have them; the predictions and their tag.
ADDING, PREDICTING = "adding", "predicting"


def without_unused_classes(meta: dict, annotations: tuple | None) -> dict:
    """Return `meta` without the classes of samples that were never added, because format 1 was
    interrupted. annotations: the stamp of that table."""
    adding = meta.get(ADDING)
    if adding and adding["before"] == json.dumps(annotations):
        classes = meta["classes"][: adding["known"]]
        return {**meta, "classes": classes, "next_id": adding["next_id"]}
    return meta


def without_interrupted_change(history: list[dict], annotations: tuple | None) -> list[dict]:
    """Return the rows of `history` without a last change that never happened, because format 1 was
    interrupted. annotations: the stamp of that table."""
    before = history[-1]["before"] if history else None
    return history[:-1] if before and before == json.dumps(annotations) else history


def is_added(table: str, column: str) -> bool:
    """Return whether this column may be missing in a table that an earlier version wrote."""
    return column in ADDED_COLUMNS.get(table.rpartition("-")[0], ())


def noise_before_history(meta: dict) -> dict | None:
    """Return the report of injected noise that early versions stored in `meta`, or None.

    Later ones store it in the history.
    """
    return meta.get("noise")
