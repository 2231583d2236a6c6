"""Everything that is known about earlier on-disk formats.

A dataset is upgraded in memory when it is read; the next write of `meta` stores the new format. Add
a step to MIGRATIONS when `schema.FORMAT` increases, and a column to ADDED_COLUMNS when a table gets
one that earlier versions can ignore.
"""

from __future__ import annotations

from collections.abc import Callable

from ..core.errors import DamagedError
from ..storage import schema


def _first_number(meta: dict) -> dict:
    """Format 0 is the first one, before `meta` contained a number."""
    return {**meta, "format": 1}


# Format number -> function that converts a `meta` of this format to the next one.
MIGRATIONS: dict[int, Callable[[dict], dict]] = {0: _first_number}

# Columns that tables of format 1 may lack, by kind of table. They read as null.
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


def is_added(table: str, column: str) -> bool:
    """Return whether this column may be missing in a table that an earlier version wrote."""
    return column in ADDED_COLUMNS.get(table.rpartition("-")[0], ())


def noise_before_history(meta: dict) -> dict | None:
    """Return the report of injected noise that early versions stored in `meta`, or None.

    Later ones store it in the history.
    """
    return meta.get("noise")
