"""The state of a Recorder: in memory, and on disk after each whole epoch."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress

import numpy as np
import safetensors
import safetensors.numpy

from ..core.errors import BusyError, DamagedError, StorageError
from ..core.files import atomic_write
from ..dataset.arrays import MISSING
from ..dataset.columns import Frame
from ..dataset.run_lifecycle import begin_run
from ..dataset.run_predictions import MAX_FLOAT16
from ..dataset.runs import Run
from ..storage.schema import RECORDED
from .epoch_measures import class_medians
from .resuming import check_unchanged
from .unfinished_recordings import run_in_use, training_lock, unfinished_recordings

LEARNED, NOT_LEARNED = 1, 2  # flags: has logits of a model that learned it, or did not
MARGIN, P_LABEL, OUT_MARGIN, OUT_P_LABEL = range(4)  # rows of measures, as dynamics.MEASURES
# A commit takes some 8 ms of a processor, a few per cent of the shortest epochs, so several of
# these are written at once. A kill loses the whole epochs of the last seconds at most.
WRITE_SECONDS = 5
_RESTART = "Record again, without resume."


class Recording:
    """Records of samples with sorted ids, int64 (n,).

    labels: int32 (n,), MISSING for none. logits: float32 (n, C), the last of each sample. flags:
    uint8 (n,). embeddings: float16 (n, D) or None. Of the current epoch: measures, float32 (4, n),
    NaN if not recorded, and epoch_flags, uint8 (n,).
    """

    def __init__(self, frame: Frame, name: str | None, ids: np.ndarray, labels: np.ndarray) -> None:
        self.frame, self.name, self.ids, self.labels = frame, name, ids, labels
        self.classes = frame.classes
        self.logits = np.zeros((len(ids), len(self.classes)), np.float32)
        self.flags = np.zeros(len(ids), np.uint8)
        self.embeddings: np.ndarray | None = None
        self.curves: list[dict] = []
        self.medians: list[list[float | None]] = []
        self.run: Run | None = None  # created when the first epoch ends
        self._lock, self._locked = ExitStack(), False
        self._started, self._written = time.monotonic(), -np.inf  # writes the first epoch at once
        self._unwritten: list[tuple[int, np.ndarray, np.ndarray]] = []  # epoch, rows, measures
        self._start_epoch()

    @property
    def epochs(self) -> int:
        """Number of whole epochs."""
        return len(self.curves)

    def _start_epoch(self) -> None:
        self.measures = np.full((4, len(self.ids)), np.nan, np.float32)
        self.epoch_flags = np.zeros(len(self.ids), np.uint8)

    # --- batches ---

    def put(
        self,
        places: np.ndarray,
        measures: np.ndarray,
        logits: np.ndarray,
        embeddings: np.ndarray | None,
        learned: bool,
    ) -> None:
        """Record samples at these places, int64 (m,); if one comes twice, the last counts.

        measures: margin and p(label), float32 (2, m). logits: float32 (m, C). embeddings: float32
        (m, D). Logits of a model that did not learn the sample are not replaced by those of a model
        that did.
        """
        first = MARGIN if learned else OUT_MARGIN
        labelled = self.labels[places] != MISSING
        self.measures[first : first + 2, places[labelled]] = measures[:, labelled]
        self.epoch_flags[places] |= LEARNED if learned else NOT_LEARNED
        self._put_logits(places, logits, embeddings, learned)

    def _put_logits(self, places, logits, embeddings, learned: bool) -> None:
        if learned:
            flags = self.flags[places] | self.epoch_flags[places]
            replaceable = (flags & NOT_LEARNED) == 0
            places, logits = places[replaceable], logits[replaceable]
            embeddings = None if embeddings is None else embeddings[replaceable]
        self.logits[places] = logits
        if embeddings is not None:
            if self.embeddings is None:
                shape = (len(self.ids), embeddings.shape[1])
                self.embeddings = np.full(shape, np.nan, np.float16)
            known = ~np.isnan(embeddings).any(axis=1)
            halves = np.clip(embeddings[known], -MAX_FLOAT16, MAX_FLOAT16)
            self.embeddings[places[known]] = halves

    def part(self) -> dict:
        """Return the records of the current epoch in this process, for the one that writes."""
        places = np.flatnonzero(self.epoch_flags)
        return {
            "places": places,
            "flags": self.epoch_flags[places],
            "measures": self.measures[:, places],
            "logits": self.logits[places],
            "embeddings": None if self.embeddings is None else self.embeddings[places],
        }

    def merge(self, part: dict) -> None:
        """Add the records of the current epoch in another process."""
        places, flags, embeddings = part["places"], part["flags"], part["embeddings"]
        own = self.measures[:, places]
        self.measures[:, places] = np.where(np.isnan(part["measures"]), own, part["measures"])
        self.epoch_flags[places] |= flags
        for learned in (True, False):
            some = ((flags & NOT_LEARNED) == 0) == learned
            chosen = None if embeddings is None else embeddings[some]
            self._put_logits(places[some], part["logits"][some], chosen, learned)

    # --- epochs ---

    def drop_epoch(self) -> None:
        """Drop the measures of the current epoch."""
        self.flags |= self.epoch_flags
        self._start_epoch()

    def end_epoch(self) -> None:
        """End the current epoch, if something was recorded in it."""
        if not self.epoch_flags.any():
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
        self._unwritten.append((self.epochs, rows, self.measures[:, rows]))
        self.drop_epoch()

    def write(self, immediately: bool = False) -> None:
        """Write the ended epochs to disk, if the last write is long enough ago.

        After an error they stay in memory for the next call.
        """
        due = immediately or time.monotonic() - self._written >= WRITE_SECONDS
        if not due or not self._unwritten:
            return
        run = self._open_run()
        epoch = np.concatenate([np.full(len(rows), epoch) for epoch, rows, _ in self._unwritten])
        rows = np.concatenate([rows for _, rows, _ in self._unwritten])
        measures = np.concatenate([values for *_, values in self._unwritten], axis=1)
        if len(rows):  # empty if none of the samples has a label
            run.append_dynamics(epoch, self.ids[rows], self.labels[rows], *measures)
        self._unwritten = []
        self._save()
        self._written = time.monotonic()

    def forget_after(self, epoch: int) -> None:
        """Delete the epochs after this one. The last logits of each sample stay, unless it is 0."""
        self.write(immediately=True)
        del self.curves[epoch:], self.medians[epoch:]
        self._start_epoch()
        if epoch == 0:
            self.flags[:] = 0
        if self.run:
            self._open_run().forget_dynamics_after(epoch)
            self._save()

    def _open_run(self) -> Run:
        """Return the run, created if there is none, and lock it against other processes."""
        if self.run is None:
            self.run = begin_run(self.frame, self.name)
        if self._locked:
            return self.run
        try:
            self._lock.enter_context(training_lock(self.run))
        except TimeoutError as error:
            raise BusyError(run_in_use(self.run.name, self.frame)) from error
        self._locked = True
        # a kill between writing table and file leaves dynamics of one epoch too many
        self.run.forget_dynamics_after(self.epochs - len(self._unwritten))
        return self.run

    # --- on disk ---

    def _save(self) -> None:
        tensors = {
            "ids": self.ids,
            "labels": self.labels,
            "logits": self.logits,
            "flags": self.flags,
        }
        if self.embeddings is not None:
            tensors["vectors"] = self.embeddings
        state = {"classes": self.classes, "curves": self.curves, "medians": self.medians}
        path = self.run.recording
        try:
            with atomic_write(path) as partial:
                safetensors.numpy.save_file(tensors, partial, {"state": json.dumps(state)})
        except (OSError, safetensors.SafetensorError) as error:
            raise StorageError(f"{path.parent} cannot be written to ({error})") from error

    @classmethod
    def resumed(cls, frame: Frame, run: Run) -> Recording:
        """Read an unfinished recording.

        Raises LabelAuditError if the file is damaged, or if samples, labels or classes changed.
        """
        path = run.recording
        try:
            with safetensors.safe_open(path, "numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                state = json.loads(file.metadata()["state"])
        except (OSError, safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(
                f"recording {path} cannot be read ({error}): record again, without resume."
            ) from error
        ids, labels, classes = tensors["ids"], tensors["labels"], state["classes"]
        work = f"the recording of run {run.name!r}"
        check_unchanged(frame, ids, labels, classes, work, _RESTART)
        self = cls(frame, run.name, ids, labels)
        self.classes = classes
        self.logits, self.flags = tensors["logits"].copy(), tensors["flags"].copy()
        self.embeddings = tensors["vectors"].copy() if "vectors" in tensors else None
        self.curves, self.medians, self.run = state["curves"], state["medians"], run
        self._started -= self.curves[-1]["seconds"] if self.curves else 0
        return self

    # --- finishing ---

    def info(self, notes: list[str]) -> dict:
        """Return the info of the run."""
        predicted = self.flags > 0
        out = (self.flags & NOT_LEARNED) > 0
        learned = (self.flags & LEARNED) > 0
        last = self.curves[-1] if self.curves else {}
        return {
            # by their names now: classes may have been renamed since the recording began
            "classes": self.frame.classes[: len(self.classes)],
            RECORDED: {"out_of_sample": bool(2 * out.sum() > predicted.sum())},
            "epochs": self.epochs,
            "stopped": False,
            "learned": int(learned.sum()),
            "held_out": int((predicted & ~learned).sum()),
            "validation_accuracy": last.get("validation_accuracy"),
            "seconds": last.get("seconds"),
            "curves": self.curves,
            "class_curves": self.medians,
            "notes": notes,
        }

    def finish(self, notes: list[str]) -> Run:
        """Turn the recording into a finished run.

        Every step can be repeated, so a kill between them loses nothing.
        """
        self.write(immediately=True)
        run = self._open_run()
        same_name = unfinished_recordings(self.frame, run.name)
        run.finish(self.info(notes))
        run.write_predictions(self._predictions())
        run.index_embeddings()
        run.recording.unlink(missing_ok=True)
        for other in same_name:  # recordings that ended before this one started
            if other.id != run.id:
                other.abandon()
                other.recording.unlink(missing_ok=True)
        return run

    @property
    def is_empty(self) -> bool:
        return not self.flags.any()

    def _predictions(self):
        predicted = self.flags > 0
        if self.embeddings is None:
            yield self.ids[predicted], self.logits[predicted]
            return
        complete = np.isfinite(self.embeddings).all(axis=1)
        both = predicted & complete  # first, because the first batch sets the embedding width
        yield self.ids[both], self.logits[both], self.embeddings[both]
        if (predicted & ~complete).any():
            yield self.ids[predicted & ~complete], self.logits[predicted & ~complete]

    def close(self) -> None:
        """Unlock the run."""
        if self._locked:
            self._locked = False
            self._lock.close()
            with suppress(OSError):
                self.run.checkpoint.with_suffix(".lock").unlink()

    __del__ = close


def _share_right(margin: np.ndarray) -> float | None:
    """Return the share of the recorded samples that are predicted as their given class."""
    margin = margin[~np.isnan(margin)]
    return float((margin > 0).mean()) if len(margin) else None
