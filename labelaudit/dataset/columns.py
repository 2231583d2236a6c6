"""A dataset's columns as numpy arrays, aligned to its sorted ids and cached by table version.

Filtering and sorting run here in numpy; images and logits are read only for the rows that are
needed. (With 10^6 rows, sorting a cached column takes 16 ms, `order_by` with a large offset 5 s.)
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.errors import BadInputError, NotFoundError
from ..storage import schema
from ..storage.schema import FINISHED, FIRST_LOOK, IMPORTED, UNKNOWN
from ..storage.tables import Store
from . import migrations
from .annotations import Annotations
from .arrays import MISSING, as_ids, in_order, tag_masks
from .table_access import TableAccess, steadily

if TYPE_CHECKING:
    from .pending import PendingEdits

CACHED_SELECTIONS = 16
RUN_CLASSES = ("classes", "untaught", UNKNOWN)  # lists of class names in a run's information
SHOWN_CLASSES = 20  # listed in an error message
ONE_LABEL = "LabelAudit takes one label per image"


class Frame(TableAccess):
    """The columns of one dataset. Position i stands for the sample with id `ids[i]`.

    Every access compares the table's stamp first, so a commit of any process is seen at once;
    within `steady()` the stamps are read only once.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._cache: dict[Hashable, tuple[Hashable, object]] = {}
        self._selections: OrderedDict[Hashable, tuple[Hashable, np.ndarray]] = OrderedDict()
        self._lock = threading.RLock()
        self._last_ids = np.empty(0, np.int64)
        self._generation = 0  # how often the set of ids has changed
        self.pending: PendingEdits | None = None  # of `Dataset.batch_edits`

    # --- the dataset's own information ---

    @property
    @steadily
    def meta(self) -> dict:
        """Source, classes, creation time and next id. Raises NotFoundError if it was deleted."""

        def load() -> dict:
            rows = self.store.read("meta", ["info"])
            if rows is None:
                raise NotFoundError(f"dataset {self.name!r} has been deleted.")
            return migrations.upgrade(self.name, json.loads(rows["info"][0].as_py()))

        meta = self.cached("meta", self.stamp("meta"), load)
        return migrations.without_unused_classes(meta, self.stamp("annotations"))

    @property
    def classes(self) -> list[str]:
        """Class names in index order."""
        return self.meta["classes"]

    @property
    def grey_scales(self) -> dict[str, tuple[float, float]]:
        """How grey images with more than 8 bits are read; see `core.deep_grey`. Datasets stored
        before these were measured have none."""
        return {depth: (low, high) for depth, (low, high) in self.meta.get("grey", {}).items()}

    def class_codes(self, names: Sequence[str | None]) -> np.ndarray:
        """Return class indices, int32 (n,), with MISSING for None.

        Raises BadInputError for a name that is not a class.
        """
        index = {name: code for code, name in enumerate(self.classes)} | {None: MISSING}
        several = next((name for name in names if isinstance(name, list | tuple | set)), None)
        if several is not None:
            raise BadInputError(f"{several!r} is not a class: {ONE_LABEL}.")
        unknown = next((name for name in names if name not in index), None)
        if unknown is not None:
            raise BadInputError(
                f"{unknown!r} is not a class of dataset {self.name!r}: "
                f"its classes are {', '.join(self.classes[:SHOWN_CLASSES])}"
                f"{' …' if len(self.classes) > SHOWN_CLASSES else ''}."
            )
        return np.array([index[name] for name in names], np.int32)

    @property
    @steadily
    def runs(self) -> list[dict]:
        """Finished runs, oldest first: id, name, created and the contents of their info."""

        def load() -> list[dict]:
            rows = self.read_rows("runs", ["id", "name", "created", "state", "info"])
            rows.sort(key=lambda row: row["id"])
            done = [row for row in rows if row.pop("state") == FINISHED]
            return [{**_renamed(json.loads(row.pop("info")), row["id"]), **row} for row in done]

        steps = self.meta.get("renamed_classes", [])

        def _renamed(info: dict, run: int) -> dict:
            """Return a run's information with the present names of its classes."""
            for step in steps:
                applies = run <= step["last_run"] and run not in step.get("open", ())
                for key in RUN_CLASSES if applies else ():
                    if key in info:
                        names = info[key]
                        info[key] = [step["names"].get(name, name) for name in names]
            return info

        return self.cached("runs", (self.stamp("runs"), len(steps)), load)

    def run_info(self, name: str) -> dict:
        """Return the entry of `runs` with this name. Raises NotFoundError if there is none."""
        for run in self.runs:
            if run["name"] == name:
                return run
        names = ", ".join(run["name"] for run in self.runs)
        raise NotFoundError(
            f"dataset {self.name!r} has no run {name!r}: "
            + (
                f"its runs are {names}."
                if names
                else "take a first look, train or import predictions first."
            )
        )

    @steadily
    def latest_run(self) -> dict | None:
        """Return the run that is used where none is named: the latest with predictions.

        An imported run with predictions of less than half of the samples only counts without other
        runs, and a first look without other runs of this kind.
        """
        total = len(self.ids) if any(IMPORTED in run for run in self.runs) else 0

        def rank(run: dict) -> tuple:
            is_small = IMPORTED in run and run[IMPORTED].get("rows", total) * 2 < total
            return is_small, FIRST_LOOK in run, -run["id"]

        for run in sorted(self.runs, key=rank):
            if self.exists(schema.table("predictions", run["id"])):
                return run
        return None

    # --- columns ---

    @property
    def ids(self) -> np.ndarray:
        """Sorted ids, int64 (n,). A sample exists once its annotation is written."""
        return self.annotations().ids

    @property
    def label(self) -> np.ndarray:
        """Given class indices, int32 (n,); MISSING for samples without a label."""
        return self.annotations().label

    @property
    def original_label(self) -> np.ndarray:
        """Class indices before any change, int32 (n,); MISSING for unchanged labels."""
        return self.annotations().original_label

    @property
    def tags(self) -> dict[str, np.ndarray]:
        """A boolean mask (n,) for each tag in use."""
        return self.annotations().tags

    def tagged(self, name: str) -> np.ndarray:
        """Return a mask, bool (n,), of the samples with this tag."""
        annotations = self.annotations()
        return annotations.tags.get(name, np.zeros(len(annotations.ids), bool))

    @steadily
    def split(self) -> tuple[np.ndarray, list[str]]:
        """Return split codes, int32 (n,), and the names that they index."""

        def load() -> tuple[np.ndarray, list[str]]:
            column = self.store.read("samples", ["split"])["split"].combine_chunks()
            coded = column.dictionary_encode()
            names = coded.dictionary.to_pylist()
            # training first, then by name
            order = sorted(
                range(len(names)),
                key=lambda i: (not names[i].lower().startswith("train"), names[i]),
            )
            rank = np.empty(len(names) + 1, np.int32)
            rank[order] = np.arange(len(names))
            rank[-1] = MISSING
            codes = rank[coded.indices.fill_null(-1).to_numpy()]
            return self.align("samples", codes, MISSING), [names[i] for i in order]

        return self.cached("split", self._stamp("samples"), load)

    @steadily
    def number(self, table: str, column: str, missing: float | int) -> np.ndarray:
        """Return a numeric column aligned to `ids` (n,), with `missing` for nulls and absent rows.

        A column that the table's version did not have yet (see migrations) is missing everywhere.
        """

        def load() -> np.ndarray:
            lacks = migrations.is_added(table, column) and column not in self.store.columns(table)
            rows = None if lacks else self._read_number(table, column)
            if rows is None:
                dtype = np.int32 if isinstance(missing, int) else np.float64
                return np.full(len(self.ids), missing, dtype)
            values = rows[column].combine_chunks()
            if values.null_count:
                values = pc.fill_null(values, missing)
            return self.align(table, values.to_numpy(zero_copy_only=False), missing)

        return self.cached((table, column), self._stamp(table), load)

    def _read_number(self, table: str, column: str) -> pa.Table | None:
        """Read a numeric column. From object storage all numeric columns of the table are read at
        once, because each read takes three requests."""
        if not self.store.is_remote:
            return self.store.read(table, [column])
        columns = self.store.numeric_columns(table)
        return self.cached(
            (table, "numbers"), self.stamp(table), lambda: self.store.read(table, columns)
        )

    @steadily
    def take(self, table: str, positions: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Read a table's rows for these positions, in this order; absent rows are left out.

        The result has an `id` column beside `columns`.
        """
        ids = self.ids[positions]
        offsets = self._offsets(table)[positions]
        offsets = offsets[offsets >= 0]
        return in_order(self.store.take(table, offsets.tolist(), ["id", *columns]), ids)

    @steadily
    def offsets(self, table: str, positions: np.ndarray) -> np.ndarray:
        """Return the place of each position's row in stored order, int64 (n,); MISSING for none."""
        return self._offsets(table)[positions]

    # --- ids to positions ---

    @steadily
    def positions(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the positions of these ids, int64 (n,). Raises NotFoundError for a missing id."""
        wanted = as_ids(ids)
        known = self.ids
        places = np.searchsorted(known, wanted)
        hit = places < len(known)
        hit[hit] = known[places[hit]] == wanted[hit]
        if not hit.all():
            raise NotFoundError(
                f"dataset {self.name!r} has no sample with id {wanted[~hit][0]}"
                + (f" ({(~hit).sum():,} of the ids given do not exist)." if sum(~hit) > 1 else ".")
            )
        return places

    # --- caching ---

    def transaction(self) -> AbstractContextManager[None]:
        """See `TableAccess.transaction`. Collected edits are stored before, so that they are not
        taken back with it."""
        self.flush()
        return super().transaction()

    def flush(self) -> None:
        """Store the edits that `Dataset.batch_edits` has collected, so that a reading of the whole
        dataset sees them. Within a steady reading, which would not see them, nothing is stored."""
        if self.pending is not None and not self.store.is_steady:
            self.pending.flush()

    def selection(
        self, key: Hashable, stamp: Hashable, compute: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return a view's positions, from a small cache if its stamp has not changed."""
        with self._lock:
            entry = self._selections.get(key)
            if entry and entry[0] == stamp:
                self._selections.move_to_end(key)
                return entry[1]
        positions = compute()
        with self._lock:
            self._selections[key] = (stamp, positions)
            while len(self._selections) > CACHED_SELECTIONS:
                self._selections.popitem(last=False)
        return positions

    def cached(self, key: Hashable, stamp: Hashable, load: Callable[[], object]):
        """Return the result of `load`, cached until the stamp changes."""
        with self._lock:
            entry = self._cache.get(key)
            if entry is None or entry[0] != stamp:
                entry = (stamp, load())
                self._cache[key] = entry
            return entry[1]

    def derived(self, key: Hashable, tables: Sequence[str], load: Callable[[], object]):
        """Return the result of `load`, which reads no other tables than these, kept until one of
        them changes. `load` sees one state of the dataset."""
        with self.steady():
            return self.cached(key, tuple(self.stamp(table) for table in tables), load)

    # --- alignment ---

    def _stamp(self, table: str) -> Hashable:
        return self.stamp(table), self.annotations().generation

    @steadily
    def annotations(self) -> Annotations:
        """Return all annotations, as arrays that must not be changed."""

        def load() -> Annotations:
            rows = self.store.read("annotations", ["id", "label", "original_label", "tags"])
            if rows is None:
                _ = self.meta  # raises NotFoundError for a dataset that was deleted
                rows = schema.ANNOTATIONS.empty_table()
            ids = rows["id"].to_numpy()
            order = np.argsort(ids, kind="stable") if np.any(np.diff(ids) < 0) else slice(None)
            ids = ids[order]
            if not np.array_equal(ids, self._last_ids):
                self._last_ids = ids
                self._generation += 1
            label, original = (
                pc.fill_null(rows[name], MISSING).to_numpy()[order]
                for name in ("label", "original_label")
            )
            masks = {tag: m[order] for tag, m in tag_masks(rows["tags"].combine_chunks()).items()}
            return Annotations(ids, label, original, masks, self._generation)

        return self.cached("annotations", self.stamp("annotations"), load)

    def edit_annotations(
        self,
        at: np.ndarray,
        label: np.ndarray,
        original_label: np.ndarray,
        tags: dict[str, np.ndarray],
        rows: pa.Table,
    ) -> None:
        """Write annotations of the samples at these positions, in this thread's transaction.

        They are also put into the cached columns, because reading the table again takes longer than
        writing a few rows. Arrays (m,) hold what `rows` say.
        """
        before = self.annotations()
        self.upsert("annotations", rows, schema.ANNOTATIONS)
        after = before.edited(at, label, original_label, tags)
        self.cached("annotations", self.stamp("annotations"), lambda: after)

    def _places(self, table: str) -> np.ndarray | None:
        """Position of each stored row (MISSING for no sample); None if row i is position i."""

        def load() -> np.ndarray | None:
            rows = self._read_number(table, "id")
            ids = np.empty(0, np.int64) if rows is None else rows["id"].to_numpy()
            existing = self.ids
            if np.array_equal(ids, existing):
                return None
            places = np.searchsorted(existing, ids)
            places[places == len(existing)] = 0
            known = existing[places] == ids if len(existing) else np.zeros(len(ids), bool)
            return np.where(known, places, MISSING)

        return self.cached((table, "places"), self._stamp(table), load)

    def _offsets(self, table: str) -> np.ndarray:
        """Stored row of each position; MISSING for rows that the table does not have."""

        def load() -> np.ndarray:
            places = self._places(table)
            if places is None:
                return np.arange(len(self.ids))
            offsets = np.full(len(self.ids), MISSING, np.int64)
            known = places >= 0
            offsets[places[known]] = np.flatnonzero(known)
            return offsets

        return self.cached((table, "offsets"), self._stamp(table), load)

    def align(self, table: str, values: np.ndarray, missing: float | int) -> np.ndarray:
        """Return values of a table's rows, in stored order, aligned to `ids` (n,)."""
        places = self._places(table)
        if places is None:
            return values
        aligned = np.full(len(self.ids), missing, values.dtype)
        known = places >= 0
        aligned[places[known]] = values[known]
        return aligned
