"""What functions work on: a dataset, a view of one, or the name of a dataset."""

from __future__ import annotations

from typing import TypeAlias

from ..core.errors import BadInputError
from .dataset import Dataset
from .view import View

Target: TypeAlias = Dataset | View | str


def opened(target: Target) -> Dataset | View:
    """Return the dataset of this name; a dataset or view unchanged.

    Raises NotFoundError for a name that no dataset has, and BadInputError for anything else.
    """
    if isinstance(target, str):
        return Dataset(target)
    if not isinstance(target, Dataset | View):
        raise BadInputError(
            f"{target!r} ({type(target).__name__}) is no dataset: give a Dataset, a View, or the "
            "name of a dataset."
        )
    return target


def as_dataset(target: Target, whole: str = "") -> Dataset:
    """Return the dataset of a target.

    whole: name of a function that works on whole datasets. Then a view of some samples raises
    BadInputError, because the other samples would not be left alone.
    """
    target = opened(target)
    if isinstance(target, Dataset):
        return target
    if whole and target.steps:
        raise BadInputError(
            f"{whole} works on a whole dataset, not on a view of it: give the dataset, "
            f"{target.name!r}."
        )
    return Dataset.of(target.frame)


def as_view(target: Target, run: str | None = None) -> View:
    """Return the samples of a target, with the predictions and scores of a run.

    run: by default that of the view, or the latest with predictions.
    """
    target = opened(target)
    if isinstance(target, Dataset):
        return target.view(run)
    return target if run is None else target.use_run(run)
