"""The steps of a view: each chooses or reorders some positions of a dataset.

A step is a tuple of its name and its arguments: ("match_tag", ("mistake",)), ("limit", 10). Its
function takes the fields, the positions (n,) that the steps before it give, and the arguments.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable

import numpy as np
import pyarrow.compute as pc

from ..core.errors import BadInputError, NotFoundError
from ..scores import SCORES
from ..scores.outlier import OUTLIER
from ..scores.suspicion import SUSPICION
from .arrays import MISSING
from .condition import Expression
from .fields import Fields
from .formula import Calculation
from .image_issues import image_issues


def match_tag(fields: Fields, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
    return at[_has_tag(fields, at, tags)]


def exclude_tag(fields: Fields, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
    return at[~_has_tag(fields, at, tags)]


def label(fields: Fields, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return at[np.isin(fields.frame.label[at], fields.frame.class_codes(names))]


def prediction(fields: Fields, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return at[np.isin(fields.predictions()[at], fields.class_codes(names))]


def split(fields: Fields, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    codes, known = fields.frame.split()
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise BadInputError(
            f"dataset {fields.frame.name!r} has no split {unknown!r}: "
            f"its splits are {', '.join(known) or 'none'}."
        )
    return at[np.isin(codes[at], [known.index(name) for name in names])]


def wrong(fields: Fields, at: np.ndarray, is_wrong: bool) -> np.ndarray:
    given, predicted = fields.frame.label[at], fields.predictions()[at]
    both = (given != MISSING) & (predicted != MISSING)
    return at[both & ((given != predicted) == is_wrong)]


def suggested(fields: Fields, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    return at[np.isin(fields.suggestions()[0][at], fields.class_codes(names))]


def image_issue(fields: Fields, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    issues = [name for name in names if name != OUTLIER]
    found = image_issues(fields.frame)
    if issues and not found:
        raise NotFoundError(
            f"the quality of the images of dataset {fields.frame.name!r} was not measured, so no "
            f"image issues such as {issues[0]!r} are known: audit the dataset first."
        )
    masks = [found[name][at] for name in issues]
    if OUTLIER in names:
        masks.append(fields.number(OUTLIER)[at] > SCORES[OUTLIER].boundary)
    return at[np.logical_or.reduce(masks)]


def where(fields: Fields, at: np.ndarray, condition: Expression) -> np.ndarray:
    return at[condition.mask(fields)[at]]


def suspicious(fields: Fields, at: np.ndarray) -> np.ndarray:
    return at[fields.suspects(at)]


def search(fields: Fields, at: np.ndarray, text: str) -> np.ndarray:
    frame = fields.frame
    rows = frame.read("samples", ["id", "filepath"])
    in_path = pc.match_substring(rows["filepath"], text, ignore_case=True).fill_null(False)
    found = np.isin(frame.ids[at], rows["id"].filter(in_path).to_numpy())
    if text.isdecimal() and len(text) < 19:  # fits int64
        found |= frame.ids[at] == int(text)
    return at[found]


def _numbers(fields: Fields, field: str) -> np.ndarray:
    values, names = fields.coded(field)
    if names is not None:
        raise BadInputError(f"{field!r} is no number: choose its values with match(F({field!r})).")
    return values


def above(fields: Fields, at: np.ndarray, field: str, value: float) -> np.ndarray:
    return at[_numbers(fields, field)[at] > value]


def between(fields: Fields, at: np.ndarray, field: str, low: float, high: float) -> np.ndarray:
    values = _numbers(fields, field)[at]
    return at[(values >= low) & (values <= high)]


def select(fields: Fields, at: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    return at[np.isin(fields.frame.ids[at], ids)]


def exclude(fields: Fields, at: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    return at[~np.isin(fields.frame.ids[at], ids)]


def concat(fields: Fields, at: np.ndarray, steps: tuple[tuple, ...]) -> np.ndarray:
    other = np.arange(len(fields.frame.ids))
    for name, *arguments in steps:
        other = STEPS[name](fields, other, *arguments)
    return np.concatenate([at, other[~np.isin(other, at)]])


def sample(fields: Fields, at: np.ndarray, n: int | None, seed: int) -> np.ndarray:
    return at[np.random.default_rng(seed).permutation(len(at))[:n]]


def sort_by(fields: Fields, at: np.ndarray, field: str | Calculation, reverse: bool) -> np.ndarray:
    if isinstance(field, Calculation):
        values = field.numbers(fields)[at]
        return at[np.argsort(-values if reverse else values, kind="stable")]
    if field == "id":
        values = fields.frame.ids[at]
        return at[np.argsort(-values if reverse else values, kind="stable")]
    codes, names = fields.coded(field)
    values = codes[at].astype(np.float64)
    if names is not None:  # by name, not by index
        rank = np.empty(len(names) + 1)
        rank[np.argsort(names)] = np.arange(len(names))
        rank[-1] = np.nan
        values = rank[codes[at]]
    # NaN sorts last either way, and equal values stay in their order
    return at[np.argsort(-values if reverse else values, kind="stable")]


def conflicts_first(fields: Fields, at: np.ndarray) -> np.ndarray:
    leads = fields.copy_conflicts()[at] & (fields.number(SUSPICION)[at] >= 0.5)
    return at[np.argsort(~leads, kind="stable")]


def limit(fields: Fields, at: np.ndarray, n: int) -> np.ndarray:
    return at[:n]


def slice(fields: Fields, at: np.ndarray, *places: int | None) -> np.ndarray:
    return at[builtins.slice(*places)]


def skip(fields: Fields, at: np.ndarray, n: int) -> np.ndarray:
    return at[n:]


STEPS: dict[str, Callable[..., np.ndarray]] = {
    step.__name__: step
    for step in (
        match_tag,
        exclude_tag,
        label,
        prediction,
        split,
        wrong,
        suggested,
        image_issue,
        suspicious,
        search,
        above,
        between,
        select,
        exclude,
        concat,
        sample,
        sort_by,
        conflicts_first,
        limit,
        skip,
        slice,
        where,
    )
}
SLICES = {"limit", "skip", "slice"}  # too cheap to cache


def _has_tag(fields: Fields, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
    masks = [fields.frame.tags[tag][at] for tag in tags if tag in fields.frame.tags]
    return np.logical_or.reduce(masks) if masks else np.zeros(len(at), bool)
