"""Takes over what changed in a dataset's source, as one step of its history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from ..core.errors import BadInputError
from ..dataset import edits, history_log
from ..dataset.arrays import MISSING, nullable
from ..dataset.class_names import SOURCE_NAMES, renamed_runs
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.history_log import Cause, write_meta
from ..dataset.own_fields import LABEL
from ..dataset.target import Target, as_dataset
from ..storage import schema
from ..storage.schema import AWAY, IN_SOURCE, LEFT, LEFT_AFTER_REMOVAL, NEW, REMOVED
from .source_classes import SourceClasses
from .stored_files import NONE, TABLE
from .sync_plan import SyncPlan, stamps_of

SOURCE, HERE = "source", "labelaudit"
PREFER = (SOURCE, HERE)


def apply_sync(
    dataset: Target,
    plan: SyncPlan,
    *,
    prefer: str | Mapping[int, str] | None = None,
    who: str | None = None,
) -> SyncPlan:
    """Take over what `plan_sync` found, in one commit that is one step of the history.

    Unchanged and moved images keep their ids, verdicts, tags and scores. New images become new
    samples with the tag `new-in-sync`; so do replaced ones, because verdicts were about another
    image. Images that are gone get the tags `removed` and `gone-at-source`, and lose them when they
    come back. A label that was changed at the source and also by a person here is a conflict: it is
    left as it is, and is a conflict in the next sync again, unless `prefer` decides it.
    prefer: "source" or "labelaudit" for all conflicts, or one of these by the id of a sample.
    who: the name in the history, by default the user of this machine. Returns the plan.
    Raises BadInputError, and changes nothing, if the dataset was changed since the plan was made,
    or `prefer` names a sample without a conflict.
    """
    dataset = as_dataset(dataset, "apply_sync")
    preferred = _preferred(plan, prefer)
    frame = dataset.view().frame
    with dataset.transaction():
        if stamps_of(frame) != plan.stamps:
            raise BadInputError(
                f"dataset {dataset.name!r} was changed since its source was read: run the sync "
                "again."
            )
        _Change(dataset, frame, plan, preferred, who).make()
    return plan


def _preferred(plan: SyncPlan, prefer: str | Mapping[int, str] | None) -> np.ndarray:
    """Return what `prefer` says about each sample of `plan.labels`: "source", "labelaudit" or "",
    an array (n,). Raises BadInputError for another value or sample."""
    conflicts = set(plan.labels.ids[plan.labels.conflict].tolist())
    decided = prefer if isinstance(prefer, Mapping) else dict.fromkeys(conflicts, prefer)
    for value in (prefer, *decided.values()):
        if not isinstance(value, Mapping) and value not in (*PREFER, None):
            raise BadInputError(f"prefer={value!r}: give {' or '.join(map(repr, PREFER))}.")
    unknown = next((sample for sample in decided if sample not in conflicts), None)
    if unknown is not None:
        raise BadInputError(
            f"prefer: sample {unknown} has no conflict to decide: give ids of `plan.conflicts`."
        )
    return np.array([decided.get(sample) or "" for sample in plan.labels.ids.tolist()], str)


class _Change:
    """The changes of one sync, within its transaction."""

    def __init__(
        self, dataset: Dataset, frame: Frame, plan: SyncPlan, prefer: np.ndarray, who: str | None
    ) -> None:
        """prefer: "source", "labelaudit" or "" for each of `plan.labels`."""
        self.dataset, self.frame, self.plan, self.who = dataset, frame, plan, who
        labels = plan.labels
        self.takes = labels.takes | (labels.conflict & (prefer == SOURCE))
        self.settles = ~labels.conflict | (prefer != "")  # the source's label is known now
        self.known = SourceClasses(plan.classes, plan.source_names, plan.target)
        entries = history_log.entries(frame)
        self.step = entries[-1].id + 1 if entries else 1

    def make(self) -> None:
        self._write_meta()
        added = self._add_samples()
        in_source = self.frame.label[self.frame.positions(added)].copy()
        before = self._before()
        self._move()
        if not self._edit(added, in_source):
            self._record_nothing()
        self._write_files(added, in_source, before)

    def _write_meta(self) -> None:
        plan, meta = self.plan, self.frame.meta
        grey = {**plan.now.source.grey.result(), **meta.get("grey", {})}
        hidden = [plan.renamed_classes.get(n, n) for n in meta.get("hidden_classes", [])]
        new = {
            **meta,
            "classes": plan.classes,
            **({"hidden_classes": hidden} if hidden else {}),
            **renamed_runs(self.frame, plan.renamed_classes),
            "origin": plan.now.origin,
            "source": plan.now.source.description,
            "skipped": dict(plan.skipped),
            "grey": grey,
        }
        same = {name: code for code, name in enumerate(plan.classes)}
        if SOURCE_NAMES in meta or plan.source_names != same:
            new[SOURCE_NAMES] = plan.source_names
        if new != meta:
            write_meta(self.frame.store, new)

    def _add_samples(self) -> np.ndarray:
        """Add the new images; return their ids, int64 (m,)."""
        batches = self.plan.batches
        if not batches:
            return np.empty(0, np.int64)
        table = pa.Table.from_batches(batches)
        dropped = self.plan.now.source.fields.keys() - self.dataset.fields.keys()
        table = table.drop_columns(list(dropped))
        for name in ("label", *(n for n, kind in self.dataset.fields.items() if kind == LABEL)):
            if name in table.column_names:
                place = table.column_names.index(name)
                table = table.set_column(place, name, self._names_here(table[name]))
        given = table["id"]
        taken = given.null_count or np.isin(given.to_numpy(), self.frame.ids).any()
        if taken:
            nothing = pa.nulls(len(table), given.type)
            table = table.set_column(table.column_names.index("id"), "id", nothing)
        return np.array(self.dataset.add_samples(table), np.int64)

    def _names_here(self, names: pa.ChunkedArray) -> pa.Array:
        """Return class names of the source under the names that the dataset has for them."""
        here = {name: self.plan.classes[code] for name, code in self.known.index.items()}
        return pa.array([here.get(name, name) for name in names.to_pylist()], pa.string())

    def _before(self) -> np.ndarray:
        """Return which of the gone samples were removed already, bool."""
        gone = self.plan.stored.ids[self.plan.matches.gone]
        return self.frame.tagged(REMOVED)[self.frame.positions(gone)].copy()

    def _move(self) -> None:
        """Write the new paths and splits."""
        plan, matches = self.plan, self.plan.matches
        pairs = np.flatnonzero(matches.moved | plan.resplit)
        if not len(pairs):
            return
        ids = plan.stored.ids[matches.stored[pairs]]  # sorted, as the pairs are
        names = schema.SAMPLES.names
        rows = self.frame.take("samples", self.frame.positions(ids), names[1:])
        now = pa.array(matches.now[pairs])
        new = {"filepath": plan.now.paths.take(now), "split": plan.now.splits.take(now)}
        columns = [new.get(name, rows[name]) for name in names]
        self.frame.upsert("samples", pa.table(columns, schema=schema.SAMPLES), schema.SAMPLES)

    def _edit(self, added: np.ndarray, in_source: np.ndarray) -> int:
        """Change labels and tags as one step of the history.

        added: ids of new samples, int64 (m,). in_source: their labels in the source, int32 (m,).
        """
        plan, frame, matches = self.plan, self.frame, self.plan.matches
        stored, labels = plan.stored, plan.labels
        relabel = labels.ids[self.takes]
        gone = stored.ids[matches.gone]
        back = stored.ids[matches.stored[matches.returned]]
        put_back = back[stored.state[matches.stored[matches.returned]] == LEFT]
        old_new = frame.ids[frame.tagged(NEW)] if len(added) else added
        ids = np.unique(np.concatenate([relabel, gone, back, old_new, added]))
        codes = frame.label[frame.positions(ids)].copy()
        codes[np.searchsorted(ids, relabel)] = labels.after[self.takes]
        # a new image of a class that was merged here: its label is recorded as changed by the merge
        codes[np.searchsorted(ids, added)] = self.known.labels_here(in_source)

        def edit(rows: edits.EditedRows) -> None:
            def tagged(name: str) -> np.ndarray:
                return rows.tags.get(name, np.zeros(len(ids), bool))

            rows.set_label(codes)
            gone_now, back_now = np.isin(ids, gone), np.isin(ids, back)
            rows.set_tag(AWAY, (tagged(AWAY) | gone_now) & ~back_now)
            rows.set_tag(REMOVED, (tagged(REMOVED) | gone_now) & ~np.isin(ids, put_back))
            if len(added):
                rows.set_tag(NEW, np.isin(ids, added))

        return edits.change(frame, ids, edit, self._cause())

    def _cause(self) -> Cause:
        plan = self.plan
        settled = self.takes & plan.labels.conflict
        counts = {**plan.counts, "conflicts": int((~self.settles & plan.labels.conflict).sum())}
        counts["relabelled"] += int(settled.sum())
        info = {"counts": counts, "renamed": plan.renamed_classes, "classes": plan.new_classes}
        return Cause(history_log.SYNC, self.who, info)

    def _record_nothing(self) -> None:
        """Record a sync that changed no label and no tag."""
        if len(self.plan):
            empty = np.empty(0, np.int64)
            none = history_log.Differences(empty, empty, empty, {}, {})
            history_log.record(self.frame, self._cause(), none)

    def _write_files(
        self, added: np.ndarray, in_source: np.ndarray, was_removed: np.ndarray
    ) -> None:
        """Remember the source as it is now: rows of all samples that are not as they were."""
        plan, matches, stored, now = self.plan, self.plan.matches, self.plan.stored, self.plan.now
        s, n = matches.stored, matches.now
        label = plan.after[n].copy()
        open_ = plan.labels.ids[~self.settles]  # conflicts stay conflicts
        still = np.isin(stored.ids[s], open_)
        label[still] = stored.label[s[still]]
        read = ~(stored.size[s] == now.size[n]) | ~(stored.changed[s] == now.changed[n])
        differs = read | (label != stored.label[s]) | matches.returned
        keep, gone = np.flatnonzero(differs), matches.gone
        tables = [
            _rows(
                stored.ids[s[keep]],
                now.size[n[keep]],
                now.changed[n[keep]],
                stored.sha256[s[keep]],
                label[keep],
                np.full(len(keep), IN_SOURCE),
            ),
            _rows(
                stored.ids[gone],
                stored.size[gone],
                stored.changed[gone],
                stored.sha256[gone],
                stored.label[gone],
                np.where(was_removed, LEFT_AFTER_REMOVAL, LEFT),
            ),
        ]
        known = pa.concat_tables(tables)
        known = known.append_column("sync", _syncs(self.frame, known["id"].to_numpy()))
        new = self._new_files(added, in_source)
        rows = pa.concat_tables([known.cast(schema.SOURCE_FILES), *([new] if new else [])])
        if len(rows):
            self.frame.upsert(TABLE, rows, schema.SOURCE_FILES)

    def _new_files(self, added: np.ndarray, in_source: np.ndarray) -> pa.Table | None:
        if not len(added):
            return None
        annotations = pa.table({"id": pa.array(added), "label": nullable(in_source)})
        return self.plan.files.table(annotations, self.step)


def _rows(ids, size, changed, sha256, label, state) -> pa.Table:
    hashes = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(schema.SHA256_BYTES), len(ids), [None, pa.py_buffer(sha256.tobytes())]
    )
    return pa.table(
        {
            "id": pa.array(ids),
            "size": pa.array(size, mask=size == NONE),
            "changed": pa.array(changed, mask=changed == NONE),
            "sha256": hashes,
            "label": pa.array(label, pa.int32(), mask=label == MISSING),
            "state": pa.array(state.astype(np.int8)),
        }
    )


def _syncs(frame: Frame, ids: np.ndarray) -> pa.Array:
    """Return in which step each sample was added."""
    rows = frame.take(TABLE, frame.positions(ids), ["sync"])  # in the order of the ids
    return rows["sync"].combine_chunks()
