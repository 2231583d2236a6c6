"""Samples as a data frame."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..scores.suspicion import SUSPICION, findings
from . import own_fields
from .arrays import tag_lists
from .columns import Frame
from .fields import Fields
from .image_issues import image_issues

ISSUE_SEPARATOR = ";"
OWN = "own fields"  # in the attributes of a data frame: the kinds of own fields by name


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
    if issues := image_issues(frame):
        columns["image_issues"] = _joined({name: mask[positions] for name, mask in issues.items()})
    own = own_fields.own_fields(frame)
    columns |= {name: own_fields.values(frame, field, positions) for name, field in own.items()}
    columns |= {name: fields.number(name)[positions] for name in scores}
    table = pd.DataFrame(
        {
            k: pd.Series(v, dtype=v.dtype) if isinstance(v, np.ndarray) else v
            for k, v in columns.items()
        }
    )
    table["tags"] = pd.Series(tag_tuples(frame, positions), dtype=object)
    table.attrs[OWN] = {name: field.kind for name, field in own.items()}
    return table


def field_values(fields: Fields, positions: np.ndarray, field: str) -> np.ndarray:
    """Return a field of the samples at these positions (n,); see `View.values`."""
    frame = fields.frame
    if field == "id":
        return frame.ids[positions]
    if field == "filepath":
        return frame.take("samples", positions, ["filepath"])["filepath"].to_numpy()
    if field == "tags":
        lists = tag_tuples(frame, positions)
        return np.fromiter(lists, dtype=object, count=len(positions))
    if field == "image_issues":
        issues = {name: mask[positions] for name, mask in image_issues(frame).items()}
        return _joined(issues) if issues else np.full(len(positions), "", object)
    own = own_fields.own_fields(frame).get(field)
    if own is not None:
        return own_fields.values(frame, own, positions)
    codes, names = fields.coded(field)
    if names is None:
        return codes[positions].astype(np.float64)
    return np.array([*names, None], dtype=object)[codes[positions]]


def tag_tuples(frame: Frame, positions: np.ndarray) -> list[tuple[str, ...]]:
    """Return the sorted tags of the samples at these positions."""
    masks = {tag: mask[positions] for tag, mask in frame.tags.items()}
    return [tuple(tags) for tags in tag_lists(masks, len(positions)).to_pylist()]


def _suggestions(fields: Fields, positions: np.ndarray) -> dict[str, np.ndarray]:
    codes, p = (values[positions] for values in fields.suggestions())
    suspicion = fields.number(SUSPICION)[positions]
    names = np.array([*fields.classes, None], object)
    return {
        "suggested": names[codes],
        "suggested_p": p,
        "finding": findings(suspicion, p, *fields.finding_masks(positions)).astype(object),
    }


def _joined(masks: dict[str, np.ndarray]) -> np.ndarray:
    """Return the names of the masks that are True in each row, joined by ";", objects (n,)."""
    names = np.array([*masks], object)
    table = np.stack([*masks.values()], axis=1)
    text = np.full(len(table), "", object)
    for row in np.flatnonzero(table.any(axis=1)):
        text[row] = ISSUE_SEPARATOR.join(names[table[row]])
    return text
