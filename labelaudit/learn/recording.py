"""What a Recorder has so far: in memory, and on disk after each whole epoch."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress

import numpy as np
import safetensors
import safetensors.numpy

from ..core.errors import BusyError, LabelAuditError, StorageError
from ..core.files import atomic_write
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.run_lifecycle import begin_run
from ..dataset.run_predictions import MAX_FLOAT16
from ..dataset.runs import Run
from ..storage.schema import RECORDED
from .recordings import lock_of, recordings, taken_elsewhere
from .sample_dynamics import class_medians

LEARNED, NOT_LEARNED = 1, 2  # flags: there are logits of a model that learned it, or did not
MARGIN, P_LABEL, OUT_MARGIN, OUT_P_LABEL = range(4)  # rows of the measures, as dynamics.MEASURES
# A commit takes some 8 ms of a processor, a few per cent of the shortest epochs: these are written
# several at a time. So a kill loses whole epochs of the last seconds at most.
WRITE_SECONDS = 5


class Recording:
    """Of samples with sorted ids, int64 (n,): `labels` int32 (n,), MISSING for none; `logits`
    float32 (n, C), the last of each; `flags` uint8 (n,); `vectors` float16 (n, D) or None; of the
    epoch under way `measures` float32 (4, n), NaN where there is none, and its own flags `now`."""

    def __init__(self, frame: Frame, name: str | None, ids: np.ndarray, labels: np.ndarray) -> None:
        self.frame, self.name, self.ids, self.labels = frame, name, ids, labels
        self.classes = frame.classes
        self.logits = np.zeros((len(ids), len(self.classes)), np.float32)
        self.flags = np.zeros(len(ids), np.uint8)
        self.vectors: np.ndarray | None = None
        self.curves: list[dict] = []
        self.medians: list[list[float | None]] = []
        self.run: Run | None = None  # begun when the first epoch ends
        self._lock, self._held = ExitStack(), False
        self._started, self._written = time.monotonic(), -np.inf  # the first epoch at once
        self._waiting: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._new_epoch()

    @property
    def epochs(self) -> int:
        """Number of whole epochs."""
        return len(self.curves)

    def _new_epoch(self) -> None:
        self.measures = np.full((4, len(self.ids)), np.nan, np.float32)
        self.now = np.zeros(len(self.ids), np.uint8)

    # --- as it comes ---

    def put(
        self, at: np.ndarray, about: np.ndarray, logits: np.ndarray, vectors: np.ndarray | None,
        learned: bool,
    ) -> None:  # fmt: skip
        """Take in samples at these places, int64 (m,); of one that comes twice the last counts.

        about: margin and p(label), float32 (2, m). logits: float32 (m, C). vectors: float32 (m, D).
        Logits of a model that did not learn the sample are not replaced by those of one that did.
        """
        first = MARGIN if learned else OUT_MARGIN
        labelled = self.labels[at] != MISSING
        self.measures[first : first + 2, at[labelled]] = about[:, labelled]
        self.now[at] |= LEARNED if learned else NOT_LEARNED
        self._keep(at, logits, vectors, learned)

    def _keep(self, at, logits, vectors, learned: bool) -> None:
        if learned:
            open_ = ((self.flags[at] | self.now[at]) & NOT_LEARNED) == 0
            at, logits = at[open_], logits[open_]
            vectors = None if vectors is None else vectors[open_]
        self.logits[at] = logits
        if vectors is not None:
            if self.vectors is None:
                self.vectors = np.full((len(self.ids), vectors.shape[1]), np.nan, np.float16)
            there = ~np.isnan(vectors).any(axis=1)
            self.vectors[at[there]] = np.clip(vectors[there], -MAX_FLOAT16, MAX_FLOAT16)

    def part(self) -> dict:
        """What this process has of the epoch under way, for the one that writes."""
        at = np.flatnonzero(self.now)
        vectors = None if self.vectors is None else self.vectors[at]
        return {"at": at, "now": self.now[at], "measures": self.measures[:, at],
                "logits": self.logits[at], "vectors": vectors}  # fmt: skip

    def merge(self, part: dict) -> None:
        """Take in what another process has of the epoch under way."""
        at, now = part["at"], part["now"]
        mine = self.measures[:, at]
        self.measures[:, at] = np.where(np.isnan(part["measures"]), mine, part["measures"])
        self.now[at] |= now
        for learned in (True, False):
            some = ((now & NOT_LEARNED) == 0) == learned
            vectors = None if part["vectors"] is None else part["vectors"][some]
            self._keep(at[some], part["logits"][some], vectors, learned)

    # --- epochs ---

    def forget_epoch(self) -> None:
        """Drop the measures of the epoch under way."""
        self.flags |= self.now
        self._new_epoch()

    def end_epoch(self) -> None:
        """Close the epoch under way, if something was recorded in it."""
        if not self.now.any():
            return
        margin, p_label, out_margin, out_p_label = self.measures
        rows = np.flatnonzero(np.isfinite(margin) | np.isfinite(out_margin))
        either = np.where(np.isnan(p_label), out_p_label, p_label)[rows]
        self.medians.append(class_medians(either, self.labels[rows], len(self.classes)))
        self.curves.append(
            {
                "epoch": self.epochs + 1,
                "loss": None,
                "train_accuracy": _share_right(margin),
                "validation_accuracy": _share_right(np.where(np.isnan(margin), out_margin, np.nan)),
                "seconds": time.monotonic() - self._started,
            }
        )
        self._waiting.append((self.epochs, rows, self.measures[:, rows]))
        self.forget_epoch()

    def write(self, at_once: bool = False) -> None:
        """Put on disk what waits, if it is time. Where that fails it goes on waiting."""
        due = at_once or time.monotonic() - self._written >= WRITE_SECONDS
        if not due or not self._waiting:
            return
        self.begin()
        epoch = np.concatenate([np.full(len(rows), epoch) for epoch, rows, _ in self._waiting])
        rows = np.concatenate([rows for _, rows, _ in self._waiting])
        measures = np.concatenate([values for *_, values in self._waiting], axis=1)
        if len(rows):  # else nothing that came has a label
            self.run.append_dynamics(epoch, self.ids[rows], self.labels[rows], *measures)
        self._waiting = []
        self._save()
        self._written = time.monotonic()

    def forget_after(self, epoch: int) -> None:
        """Forget the epochs after this one; the last logits of each sample stay, unless it is 0."""
        self.write(at_once=True)
        del self.curves[epoch:], self.medians[epoch:]
        self._new_epoch()
        if epoch == 0:
            self.flags[:] = 0
        if self.run:
            self.begin()
            self.run.forget_dynamics_after(epoch)
            self._save()

    def begin(self) -> None:
        """Have a run to write to, which no other process writes to."""
        if self.run is None:
            self.run = begin_run(self.frame, self.name)
        if not self._held:
            self._hold()
            written = self.epochs - len(self._waiting)
            self.run.forget_dynamics_after(written)  # of a kill between table and file

    def _hold(self) -> None:
        try:
            self._lock.enter_context(lock_of(self.run))
        except TimeoutError as error:
            raise BusyError(taken_elsewhere(self.run.name, self.frame)) from error
        self._held = True

    # --- on disk ---

    def _save(self) -> None:
        tensors = {"ids": self.ids, "labels": self.labels, "logits": self.logits,
                   "flags": self.flags}  # fmt: skip
        if self.vectors is not None:
            tensors["vectors"] = self.vectors
        state = {"classes": self.classes, "curves": self.curves, "medians": self.medians}
        path = self.run.recording
        try:
            with atomic_write(path) as partial:
                safetensors.numpy.save_file(tensors, partial, {"state": json.dumps(state)})
        except (OSError, safetensors.SafetensorError) as error:
            raise StorageError(f"{path.parent} cannot be written to ({error})") from error

    @classmethod
    def resumed(cls, frame: Frame, run: Run) -> Recording:
        """One that was cut short. Raises LabelAuditError where its labels are not there any more:
        margins of one label are not to be continued with those of another."""
        path = run.recording
        try:
            with safetensors.safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                state = json.loads(file.metadata()["state"])
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise LabelAuditError(
                f"recording {path} cannot be read ({error}): record anew, without resume."
            ) from error
        _check_unchanged(frame, run.name, tensors, state["classes"])
        self = cls(frame, run.name, tensors["ids"], tensors["labels"])
        self.classes = state["classes"]
        self.logits, self.flags = tensors["logits"].copy(), tensors["flags"].copy()
        self.vectors = tensors["vectors"].copy() if "vectors" in tensors else None
        self.curves, self.medians, self.run = state["curves"], state["medians"], run
        self._started -= self.curves[-1]["seconds"] if self.curves else 0
        return self

    # --- at the end ---

    def info(self, notes: list[str]) -> dict:
        """What the run says of itself."""
        told = self.flags > 0
        out = (self.flags & NOT_LEARNED) > 0
        learned = (self.flags & LEARNED) > 0
        last = self.curves[-1] if self.curves else {}
        return {
            "classes": self.classes,
            RECORDED: {"out_of_sample": bool(2 * out.sum() > told.sum())},
            "epochs": self.epochs,
            "stopped": False,
            "learned": int(learned.sum()),
            "held_out": int((told & ~learned).sum()),
            "validation_accuracy": last.get("validation_accuracy"),
            "seconds": last.get("seconds"),
            "curves": self.curves,
            "class_curves": self.medians,
            "notes": notes,
        }

    def finish(self, notes: list[str]) -> Run:
        """Make it a run that counts. Each step can be done again: a kill between them loses
        nothing."""
        self.write(at_once=True)
        self.begin()
        recorded = (self.flags > 0) & (self.labels != MISSING)
        learned = (self.flags & LEARNED) > 0
        self.run.settle_dynamics(self.ids[recorded], self.labels[recorded], learned[recorded])
        others = [run for run in recordings(self.frame, self.run.name) if run.id != self.run.id]
        self.run.finish(self.info(notes))
        self.run.write_predictions(self._predictions())
        self.run.index_embeddings()
        self.run.recording.unlink(missing_ok=True)
        for other in others:  # of this name, cut short before this one was begun
            other.abandon()
            other.recording.unlink(missing_ok=True)
        return self.run

    @property
    def is_empty(self) -> bool:
        return not self.flags.any()

    @property
    def predicted(self) -> np.ndarray:
        """Ids of the samples that have logits, int64."""
        return self.ids[self.flags > 0]

    def _predictions(self):
        told = self.flags > 0
        if self.vectors is None:
            yield self.ids[told], self.logits[told]
            return
        whole = np.isfinite(self.vectors).all(axis=1)
        both = told & whole  # first: they tell the width
        yield self.ids[both], self.logits[both], self.vectors[both]
        if (told & ~whole).any():
            yield self.ids[told & ~whole], self.logits[told & ~whole]

    def close(self) -> None:
        """Let go of the run."""
        if self._held:
            self._held = False
            self._lock.close()
            with suppress(OSError):
                self.run.checkpoint.with_suffix(".lock").unlink()

    __del__ = close


def _check_unchanged(frame: Frame, name: str, tensors: dict, classes: list[str]) -> None:
    places, known = find(frame.ids, tensors["ids"])
    given = tensors["labels"]
    judged = known & (given != MISSING)
    changed = int((frame.label[places[judged]] != given[judged]).sum())
    for is_so, what in (
        (frame.classes[: len(classes)] != classes, "the classes are others"),
        (not known.all(), f"{(~known).sum():,} of its samples are gone"),
        (changed, f"{changed:,} of its labels were changed"),
    ):
        if is_so:
            raise LabelAuditError(
                f"the recording of run {name!r} of dataset {frame.name!r} cannot be resumed: "
                f"since its last epoch {what}. Record anew, without resume."
            )


def _share_right(margin: np.ndarray) -> float | None:
    """Share of the recorded samples that are predicted as their given class."""
    margin = margin[~np.isnan(margin)]
    return float((margin > 0).mean()) if len(margin) else None
