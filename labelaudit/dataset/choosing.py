"""How samples of a dataset or a view are chosen and ordered: each method adds a step to a view."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Never

import numpy as np

from ..core.errors import BadInputError
from . import own_fields
from .arrays import as_ids
from .condition import Expression
from .expression import F
from .formula import Calculation, Formula
from .hints import missing
from .image_issues import check_issues

if TYPE_CHECKING:
    from .columns import Frame
    from .view import View

SHOWN_VALUES = 3  # of a step, in its description


class Choosing:
    """The part of a dataset or a view that chooses samples. Each method returns a new view."""

    @abstractmethod
    def view(self, run: str | None = None) -> View:
        """Return the samples as a view."""

    def __getattr__(self, name: str) -> Never:
        raise missing(self, name)

    def match_tag(self, *tags: str | Sequence[str]) -> View:
        """Select samples that have any of these tags: names, or lists of names."""
        return self.view().then("match_tag", _names(tags, "tags"))

    def exclude_tag(self, *tags: str | Sequence[str]) -> View:
        """Select samples that have none of these tags: names, or lists of names."""
        return self.view().then("exclude_tag", _names(tags, "tags"))

    def match(
        self,
        *conditions: Expression,
        label: str | Sequence[str] | None = None,
        split: str | Sequence[str] | None = None,
        prediction: str | Sequence[str] | None = None,
        suggested: str | Sequence[str] | None = None,
        image_issue: str | Sequence[str] | None = None,
        wrong: bool | None = None,
        **fields: object,
    ) -> View:
        """Select samples that meet all given conditions.

        conditions: such as `F("width") < 64`; see `F`.
        label, split, prediction: one name or several. suggested: the same for the class that
        suspicion suggests. image_issue: "dark", "bright", "blurred", "low information", "odd
        shape", "odd size", "grey" or "outlier"; several select samples with any of them. wrong:
        True for samples with a prediction that differs from their given label, False for those
        where both agree. Samples without a label or a prediction are neither.
        fields: a value, or several, of `finding` or of own fields: `match(finding="mislabelled",
        human_a=["cat", "dog"])`.

        Raises BadInputError for a field that does not exist. Other names are checked when the view
        is read: it raises BadInputError for a class, a split or a kind of issue that does not
        exist, and NotFoundError if image issues, outliers or suspicion were not computed.
        """
        view = self.view()
        for condition in [*conditions, *_field_conditions(view.frame, fields)]:
            if not isinstance(condition, Expression):
                raise BadInputError(
                    f'match({condition!r}): give conditions such as F("width") < 64, or names as '
                    'in label="cat".'
                )
            view = view.then("where", condition)
        named = {
            "label": label,
            "split": split,
            "prediction": prediction,
            "suggested": suggested,
            "image_issue": image_issue,
        }
        for kind, names in named.items():
            if names is None:
                continue
            names = _names([names], kind)
            if kind == "image_issue":
                check_issues(names)
            view = view.then(kind, names)
        return view if wrong is None else view.then("wrong", bool(wrong))

    def search(self, text: str) -> View:
        """Select samples with this text in their file path, in any case; a number also selects the
        sample with this id."""
        return self.view().then("search", text.strip())

    def above(self, field: str, value: float) -> View:
        """Select samples with a number, such as a score or `suggested_p`, greater than `value`."""
        return self.view().then("above", field, float(value))

    def between(self, field: str, low: float, high: float) -> View:
        """Select samples with a number, such as a score, from `low` to `high`, both included."""
        return self.view().then("between", field, float(low), float(high))

    def select(self, ids: Sequence[int] | np.ndarray) -> View:
        """Select the samples of this view with these ids, in the view's order.

        ids: or a mask, bool (n,), of the view's n samples: `view.select(view.values("age") > 3)`.
        Raises BadInputError for a mask of another length.
        """
        given = np.asarray(ids)
        if given.dtype == bool:
            here = self.view().ids
            if given.shape != here.shape:
                raise BadInputError(
                    f"a mask of shape {given.shape} was given for a view of {len(here):,} samples: "
                    f"it must be ({len(here)},)."
                )
            ids = here[given]
        return self.view().then("select", tuple(as_ids(ids).tolist()))

    def exclude(self, ids: Sequence[int] | np.ndarray) -> View:
        """Select the samples of this view that do not have these ids, int (n,)."""
        return self.view().then("exclude", tuple(as_ids(ids).tolist()))

    def concat(self, other: Choosing) -> View:
        """Return the samples of this view, then those of another view that are not in this one.

        `view + other` and `view | other` do the same. other: or the whole dataset. Raises
        BadInputError for anything else than a view of the same dataset with the same run.
        """
        view = self.view()
        more = other.view() if isinstance(other, Choosing) else None
        if more is None or more.uri != view.uri:
            raise BadInputError(f"{other!r} is no view of dataset {view.name!r}.")
        if more.run != view.run:
            raise BadInputError(
                f"one view has the scores of {_run_text(view)}, the other those of "
                f"{_run_text(more)}: give both the same run with use_run."
            )
        return view.then("concat", more.steps)

    def __add__(self, other: Choosing) -> View:
        return self.concat(other)

    def __or__(self, other: Choosing) -> View:
        return self.concat(other)

    def sort_by(self, field: str | F | Formula, reverse: bool = False) -> View:
        """Sort by a field (see `View.values`), names alphabetically, or by a calculation with
        fields: `sort_by(F("width") * F("height"))`. Null is last."""
        name = field.calculation if isinstance(field, Formula) else field_name(field)
        return self.view().then("sort_by", name, bool(reverse))

    def sample(self, n: int, seed: int | None = None) -> View:
        """Select at most n samples in random order. Without a seed, one is drawn for this view."""
        return self.view().then("sample", natural(n, "sample"), _seed(seed))

    def take(self, n: int, seed: int | None = None) -> View:
        """Do what `sample` does: the name of it in FiftyOne. See `samples` for those with given
        ids."""
        return self.sample(natural(n, "take"), seed)

    def shuffle(self, seed: int | None = None) -> View:
        """Return all samples in random order. Without a seed, one is drawn for this view."""
        return self.view().then("sample", None, _seed(seed))

    def limit(self, n: int) -> View:
        """Select the first n samples, or all if there are fewer."""
        return self.view().then("limit", natural(n, "limit"))

    def skip(self, n: int) -> View:
        """Select the samples after the first n."""
        return self.view().then("skip", natural(n, "skip"))

    def slice(self, places: slice) -> View:
        """Select the samples at these places, as `list[places]` does; `view[10:20]` calls it.

        Raises BadInputError for places that are no whole numbers, and for a step of 0.
        """
        for part in (places.start, places.stop, places.step):
            if part is not None and not isinstance(part, Integral):
                raise BadInputError(f"{part!r} is not a place: give whole numbers.")
        if places.step == 0:
            raise BadInputError("a slice needs a step other than 0.")
        whole = (None if p is None else int(p) for p in (places.start, places.stop, places.step))
        return self.view().then("slice", *whole)


def _field_conditions(frame: Frame, fields: dict) -> list[Expression]:
    """Return conditions on single fields. Raises BadInputError for an unknown field."""
    known = {"finding", *own_fields.own_fields(frame)} if fields else set()
    for name in fields.keys() - known:
        usual = "label, split, prediction, suggested, image_issue, wrong, finding"
        own = ", ".join(own_fields.own_fields(frame)) or "none"
        raise BadInputError(
            f"match({name}=…): there is {usual}, and the own fields of the dataset ({own}); "
            f'for other fields use F: match(F("{name}") == …).'
        )
    given = {name: value for name, value in fields.items() if value is not None}
    return [
        F(name).isin(value) if isinstance(value, list | tuple | set) else F(name) == value
        for name, value in given.items()
    ]


def _run_text(view: View) -> str:
    return f"run {view.run!r}" if view.run else "the default run"


def _seed(seed: int | None) -> int:
    return int(np.random.default_rng().integers(2**31)) if seed is None else natural(seed, "seed")


def natural(n: int, what: str) -> int:
    """Return n as an int. Raises BadInputError unless it is a whole number of 0 or more."""
    if not isinstance(n, Integral) or n < 0:
        raise BadInputError(f"{what}({n!r}): give a whole number, 0 or more.")
    return int(n)


def describe(step: tuple) -> str:
    """Return a step of a view as text: `match_tag('x')`."""
    name, *arguments = step
    if name == "concat":
        return f"concat({', '.join(map(describe, arguments[0])) or 'all'})"
    if name in ("match_tag", "exclude_tag", "select", "exclude"):
        arguments = list(arguments[0])
    shown = [
        str(a) if isinstance(a, Expression | Calculation) else repr(a)
        for a in arguments[:SHOWN_VALUES]
    ]
    more = f", … {len(arguments):,} in all" if len(arguments) > SHOWN_VALUES else ""
    return f"{name}({', '.join(shown)}{more})"


def _names(given: Sequence[object], what: str) -> tuple[str, ...]:
    """Return names, given one by one or in lists. Raises BadInputError for other values."""
    names: list = []
    for each in given:
        is_list = isinstance(each, Sequence | set | np.ndarray) and not isinstance(each, str)
        names += list(each) if is_list else [each]
    for name in names:
        if not isinstance(name, str):
            raise BadInputError(f"{what}: {name!r} is no name: give texts, such as {str(name)!r}.")
    return tuple(map(str, names))


def field_name(field: object) -> str:
    """Return the name of a field, also of F(name). Raises BadInputError for another value."""
    name = getattr(field, "name", field)
    if not isinstance(name, str):
        raise BadInputError(f"{field!r} is no field: give the name of one, such as 'hardness'.")
    return name
