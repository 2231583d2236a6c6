"""Samples as a data frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..scores.suspicion import SUSPICION, findings
from .arrays import tag_lists
from .columns import Frame
from .fields import Fields


def to_pandas(fields: Fields, ids: np.ndarray) -> pd.DataFrame:
    """Return a row for each of these ids (n,), in their order. Columns: see `View.to_pandas`."""
    frame = fields.frame
    positions = frame.positions(ids)

    def named(field: str) -> np.ndarray:
        codes, names = fields.coded(field)
        return np.array([*(names or ()), None], dtype=object)[codes[positions]]

    run, scores = fields.run_or_none(), fields.score_names()
    paths = frame.take("samples", positions, ["filepath"])["filepath"].to_numpy()
    columns = {
        "id": ids,
        "filepath": paths,
        "split": named("split"),
        "ground_truth": named("ground_truth"),
        "original_label": named("original_label"),
        "predicted": named("prediction") if run else np.full(len(positions), None, object),
        "confidence": fields.number("confidence")[positions] if run else np.nan,
    }
    if SUSPICION in scores:
        columns |= _suggestions(fields, positions)
    columns |= {name: fields.number(name)[positions] for name in scores}
    table = pd.DataFrame(
        {
            k: pd.Series(v, dtype=v.dtype) if isinstance(v, np.ndarray) else v
            for k, v in columns.items()
        }
    )
    table["tags"] = pd.Series(tag_tuples(frame, positions), dtype=object)
    return table


def tag_tuples(frame: Frame, positions: np.ndarray) -> list[tuple[str, ...]]:
    """Return the sorted tags of the samples at these positions."""
    masks = {tag: mask[positions] for tag, mask in frame.tags.items()}
    return [tuple(tags) for tags in tag_lists(masks, len(positions)).to_pylist()]


def _suggestions(fields: Fields, positions: np.ndarray) -> dict[str, np.ndarray]:
    codes, p = (values[positions] for values in fields.suggestions())
    suspicion = fields.number(SUSPICION)[positions]
    names = np.array([*fields.frame.classes, None], object)
    return {
        "suggested": names[codes],
        "suggested_p": p,
        "finding": findings(suspicion, p).astype(object),
    }
