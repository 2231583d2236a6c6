"""A lazy selection of a dataset: match, sort, sample, limit. It runs when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import pandas as pd
from PIL import Image

from ..core.errors import LabelAuditError
from ..scores.suspicion import SUSPICION, findings
from ..storage.tables import Store
from . import edits
from .columns import MISSING, Frame, as_ids, steadily
from .contact_sheet import contact_sheet
from .fields import Fields
from .sample import Batch, Prediction, Sample

Step = tuple  # ("match_tag", "mistake"), ("sort_by", "hardness", True) …

SCAN_ROWS = 50_000  # rows held at once while a whole view is read


@dataclass(frozen=True)
class View:
    """Samples of a dataset, chosen and ordered by `steps`. Immutable: each call gives a new view.

    `run` names the run whose predictions and scores are meant; None stands for the latest.
    `len(view)` counts, `for sample in view` reads them in batches. Names that do not exist are told
    of (LabelAuditError) when the view is read.
    """

    frame: Frame
    steps: tuple[Step, ...] = ()
    run: str | None = None

    # --- choosing ---

    def use_run(self, run: str) -> View:
        """The same samples, with the predictions and scores of another run.

        Raises LabelAuditError for a run that does not exist.
        """
        self.frame.run_info(run)  # says so if there is none
        return replace(self, run=run)

    def match_tag(self, *tags: str) -> View:
        """Samples that have any of these tags."""
        return self._then("match_tag", tags)

    def exclude_tag(self, *tags: str) -> View:
        """Samples that have none of these tags."""
        return self._then("exclude_tag", tags)

    def match(
        self,
        *,
        label: str | Sequence[str] | None = None,
        split: str | Sequence[str] | None = None,
        prediction: str | Sequence[str] | None = None,
        wrong: bool | None = None,
    ) -> View:
        """Samples that meet every condition given.

        label, split, prediction: one name or several. wrong: True for samples whose prediction
        differs from their given label, False for those where they agree; a sample without the
        one or the other is neither.
        """
        view = self
        for kind, names in (("label", label), ("split", split), ("prediction", prediction)):
            if names is not None:
                view = view._then(kind, (names,) if isinstance(names, str) else tuple(names))
        return view if wrong is None else view._then("wrong", bool(wrong))

    def above(self, field: str, value: float) -> View:
        """Samples whose score (or `confidence`) is known and greater than `value`."""
        return self._then("above", field, float(value))

    def between(self, field: str, low: float, high: float) -> View:
        """Samples whose score (or `confidence`) is known and within these bounds, both included."""
        return self._then("between", field, float(low), float(high))

    def select(self, ids: Sequence[int]) -> View:
        """The samples with these ids that are in this view, in the view's order."""
        return self._then("select", tuple(as_ids(ids).tolist()))

    def sort_by(self, field: str, reverse: bool = False) -> View:
        """Ordered by id, split, ground_truth, prediction, confidence or a score; nulls last."""
        return self._then("sort_by", field, bool(reverse))

    def sample(self, n: int, seed: int | None = None) -> View:
        """At most n samples, in random order; without a seed, drawn once for this view."""
        if seed is not None:
            _natural(seed, "seed")
        else:
            seed = int(np.random.default_rng().integers(2**31))
        return self._then("sample", _natural(n, "sample"), seed)

    def limit(self, n: int) -> View:
        """The first n samples of the view; all where it has fewer."""
        return self._then("limit", _natural(n, "limit"))

    def skip(self, n: int) -> View:
        """The samples after the first n."""
        return self._then("skip", _natural(n, "skip"))

    # --- reading ---

    def __len__(self) -> int:
        return len(self.positions())

    def __iter__(self) -> Iterator[Sample]:
        return self.iter_samples()

    @property
    def store(self) -> Store:
        """Where the dataset is kept."""
        return self.frame.store

    @property
    @steadily
    def ids(self) -> np.ndarray:
        """Ids in the view's order, int64 (n,)."""
        return self.frame.ids[self.positions()]

    def head(self, n: int = 5) -> list[Sample]:
        """The first n samples, as a list."""
        return list(self.limit(n).iter_samples())

    def iter_samples(self, batch_size: int = 256) -> Iterator[Sample]:
        """Every sample in the view's order, `batch_size` read at a time.

        Images and logits are read when they are asked for, those of a batch at once.
        """
        ids = self.ids  # not positions: samples may be added between two batches
        for start in range(0, len(ids), batch_size):
            yield from self.take(ids[start : start + batch_size])

    @steadily
    def take(self, ids: np.ndarray) -> list[Sample]:
        """Samples by id, int64 (n,), in this order, whether the view has them or not."""
        table, samples = self._pandas(ids), []
        batch = Batch(self.frame, ids)
        run = self.fields.run_or_none()
        scores = self.score_names()
        for row in table.to_dict("records"):
            prediction = None
            if row["predicted"] is not None:
                prediction = Prediction(
                    run["name"], row["predicted"], row["confidence"], row["id"], batch
                )
            sample = Sample(
                id=row["id"],
                filepath=row["filepath"],
                split=row["split"],
                ground_truth=row["ground_truth"],
                original_label=row["original_label"],
                tags=row["tags"],
                prediction=prediction,
                scores={name: None if np.isnan(row[name]) else row[name] for name in scores},
                _batch=batch,
            )
            samples.append(sample)
        return samples

    @steadily
    def values(self, field: str) -> np.ndarray:
        """One field of every sample, in the view's order, (n,).

        Names are objects (None: null), tags tuples, numbers float64 (NaN: null), ids int64. Fields:
        id, filepath, split, ground_truth, original_label, prediction, confidence, tags, scores.
        """
        positions = self.positions()
        if field == "id":
            return self.frame.ids[positions]
        if field == "filepath":
            return self.frame.take("samples", positions, ["filepath"])["filepath"].to_numpy()
        if field == "tags":
            lists = _tag_lists(self.frame, positions)
            return np.fromiter(lists, dtype=object, count=len(positions))
        codes, names = self.fields.coded(field)
        if names is None:
            return codes[positions].astype(np.float64)
        return np.array([*names, None], dtype=object)[codes[positions]]

    @steadily
    def count_values(self, field: str) -> dict[str, int]:
        """How many samples have each value of ground_truth, prediction or split, or each tag.

        Raises LabelAuditError for a field of numbers.
        """
        positions = self.positions()
        if field == "tags":
            counts = {tag: int(mask[positions].sum()) for tag, mask in self.frame.tags.items()}
            return {tag: counts[tag] for tag in sorted(counts) if counts[tag]}
        codes, names = self.fields.coded(field)
        if names is None:
            raise LabelAuditError(f"values of {field!r} are numbers and are not counted.")
        counts = np.bincount(codes[positions] + 1, minlength=len(names) + 1)[1:]
        return dict(zip(names, counts.tolist(), strict=True))

    @steadily
    def class_pairs(self) -> pd.DataFrame:
        """Which classes are predicted where another one is given: most frequent pair first.

        Columns: ground_truth, predicted, count.
        """
        positions = self.positions()
        names = self.frame.classes
        given = self.frame.label[positions].astype(np.int64)
        predicted = self.fields.predictions()[positions]
        differ = (given != MISSING) & (predicted != MISSING) & (given != predicted)
        counts = np.bincount(
            given[differ] * len(names) + predicted[differ], minlength=len(names) ** 2
        )
        pairs = np.flatnonzero(counts)
        pairs = pairs[np.argsort(-counts[pairs], kind="stable")]
        return pd.DataFrame(
            {
                "ground_truth": [names[p // len(names)] for p in pairs],
                "predicted": [names[p % len(names)] for p in pairs],
                "count": counts[pairs],
            }
        )

    @steadily
    def to_pandas(self) -> pd.DataFrame:
        """The whole view, a row a sample.

        Columns: id, filepath, split, ground_truth, original_label, predicted, confidence, every
        score, tags; with the score suspicion also suggested, suggested_p and finding.
        """
        frames = list(self.chunks())
        return pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]

    def chunks(self, rows: int = SCAN_ROWS) -> Iterator[pd.DataFrame]:
        """The view as data frames of at most `rows` rows; one empty frame for an empty view."""
        ids = self.ids
        for start in range(0, max(len(ids), 1), rows):
            yield self._pandas(ids[start : start + rows])

    def grid(self, n: int = 24, columns: int = 8, side: int = 96) -> Image.Image:
        """The first n samples on one picture, which a notebook shows: image, id, given class, and
        the predicted class where it is another.

        columns: pictures in a row. side: pixels of the square that each is fitted into.
        Raises LabelAuditError for an empty view.
        """
        for number, name in ((n, "n"), (columns, "columns"), (side, "side")):
            if not _natural(number, name):
                raise LabelAuditError(f"{name}=0: give a whole number, 1 or more.")
        samples = self.head(n)
        if not samples:
            raise LabelAuditError("the view has no samples, so there is nothing to show.")
        return contact_sheet(samples, columns, side)

    # --- changing ---

    def tag(self, name: str) -> int:
        """Set a tag on every sample of the view. Returns how many did not have it."""
        return edits.tag(self.frame, self.ids, name)

    def untag(self, name: str) -> int:
        """Take a tag from every sample of the view. Returns how many had it."""
        return edits.untag(self.frame, self.ids, name)

    # --- for the library's own rooms ---

    @steadily
    def positions(self) -> np.ndarray:
        """Positions in the frame, int64 (n,), in the view's order."""
        if not self.steps:
            return np.arange(len(self.frame.ids))
        *before, step = self.steps
        parent = replace(self, steps=tuple(before))
        kind, *arguments = step
        if kind == "limit":
            return parent.positions()[: arguments[0]]
        if kind == "skip":
            return parent.positions()[arguments[0] :]
        return self.frame.selection(
            (self.steps, self.run),
            self.fields.stamp(),
            lambda: getattr(parent, f"_{kind}")(parent.positions(), *arguments),
        )

    @property
    def fields(self) -> Fields:
        """What a field's name means for the run."""
        return Fields(self.frame, self.run)

    def score_names(self) -> list[str]:
        """Scores that the run which is meant has; none without a run."""
        return self.fields.score_names()

    # --- inside: how each step chooses among positions ---

    def _match_tag(self, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
        return at[self._has_tag(at, tags)]

    def _exclude_tag(self, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
        return at[~self._has_tag(at, tags)]

    def _has_tag(self, at: np.ndarray, tags: tuple[str, ...]) -> np.ndarray:
        masks = [self.frame.tags[tag][at] for tag in tags if tag in self.frame.tags]
        return np.logical_or.reduce(masks) if masks else np.zeros(len(at), bool)

    def _label(self, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        return at[np.isin(self.frame.label[at], self.frame.class_codes(names))]

    def _prediction(self, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        return at[np.isin(self.fields.predictions()[at], self.frame.class_codes(names))]

    def _split(self, at: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        codes, known = self.frame.split()
        unknown = next((name for name in names if name not in known), None)
        if unknown is not None:
            raise LabelAuditError(
                f"dataset {self.frame.store.name!r} has no split {unknown!r}: "
                f"its splits are {', '.join(known) or 'none'}."
            )
        return at[np.isin(codes[at], [known.index(name) for name in names])]

    def _wrong(self, at: np.ndarray, wrong: bool) -> np.ndarray:
        given, predicted = self.frame.label[at], self.fields.predictions()[at]
        both = (given != MISSING) & (predicted != MISSING)
        return at[both & ((given != predicted) == wrong)]

    def _above(self, at: np.ndarray, field: str, value: float) -> np.ndarray:
        return at[self.fields.number(field)[at] > value]

    def _between(self, at: np.ndarray, field: str, low: float, high: float) -> np.ndarray:
        values = self.fields.number(field)[at]
        return at[(values >= low) & (values <= high)]

    def _select(self, at: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
        return at[np.isin(self.frame.ids[at], ids)]

    def _sample(self, at: np.ndarray, n: int, seed: int) -> np.ndarray:
        return at[np.random.default_rng(seed).permutation(len(at))[:n]]

    def _sort_by(self, at: np.ndarray, field: str, reverse: bool) -> np.ndarray:
        if field == "id":
            values = self.frame.ids[at]
            return at[np.argsort(-values if reverse else values, kind="stable")]
        codes, names = self.fields.coded(field)
        values = codes[at].astype(np.float64)
        if names is not None:  # by name, not by index
            rank = np.empty(len(names) + 1)
            rank[np.argsort(names)] = np.arange(len(names))
            rank[-1] = np.nan
            values = rank[codes[at]]
        # NaN sorts last either way, and equal values stay in the order they were in
        return at[np.argsort(-values if reverse else values, kind="stable")]

    # --- inside: rows ---

    @steadily
    def _pandas(self, ids: np.ndarray) -> pd.DataFrame:
        frame = self.frame
        positions = frame.positions(ids)

        def named(field: str) -> np.ndarray:
            codes, names = self.fields.coded(field)
            return np.array([*names, None], dtype=object)[codes[positions]]

        nothing = np.full(len(positions), None, object)
        run = self.fields.run_or_none()
        paths = frame.take("samples", positions, ["filepath"])["filepath"].to_numpy()
        columns = {
            "id": ids,
            "filepath": paths,
            "split": named("split"),
            "ground_truth": named("ground_truth"),
            "original_label": named("original_label"),
            "predicted": named("prediction") if run else nothing,
            "confidence": self.fields.number("confidence")[positions] if run else np.nan,
        }
        if run and SUSPICION in self.score_names():
            columns |= self._suggestions(positions)
        columns |= {name: self.fields.number(name)[positions] for name in self.score_names()}
        table = pd.DataFrame(
            {
                k: pd.Series(v, dtype=v.dtype) if isinstance(v, np.ndarray) else v
                for k, v in columns.items()
            }
        )
        table["tags"] = pd.Series(_tag_lists(frame, positions), dtype=object)
        return table

    def _suggestions(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        codes, p = (values[positions] for values in self.fields.suggestions())
        suspicion = self.fields.number(SUSPICION)[positions]
        names = np.array([*self.frame.classes, None], object)
        return {
            "suggested": names[codes],
            "suggested_p": p,
            "finding": findings(suspicion, p).astype(object),
        }

    def _then(self, *step) -> View:
        return replace(self, steps=(*self.steps, step))


def _tag_lists(frame: Frame, positions: np.ndarray) -> list[tuple[str, ...]]:
    masks = {tag: mask[positions] for tag, mask in frame.tags.items()}
    return [tuple(tags) for tags in edits.tag_lists(masks, len(positions)).to_pylist()]


def _natural(n: int, what: str) -> int:
    if not isinstance(n, Integral) or n < 0:
        raise LabelAuditError(f"{what}({n!r}): give a whole number, 0 or more.")
    return int(n)
