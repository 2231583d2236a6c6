"""Renames classes of a dataset in its runs, which know them by name."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

from ..dataset.columns import Frame
from ..storage import schema


def rename_in_runs(frame: Frame, renamed: Mapping[str, str]) -> None:
    """Write the new class names into all runs, so that their predictions stay valid."""
    rows = frame.read("runs", schema.RUNS.names) if renamed else None
    changed = []
    for row in [] if rows is None else rows.to_pylist():
        info = json.loads(row["info"]) if row["info"] else {}
        classes = info.get("classes", [])
        if set(classes) & set(renamed):
            info["classes"] = [renamed.get(name, name) for name in classes]
            changed.append({**row, "info": json.dumps(info)})
    if changed:
        table = pa.Table.from_pylist(changed, schema=schema.RUNS)
        frame.upsert("runs", table, schema.RUNS)
