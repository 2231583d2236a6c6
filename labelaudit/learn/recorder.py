"""Watches a training loop that is the user's own, and makes an ordinary run of what it saw."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch

from ..core.errors import LabelAuditError
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.view import View
from ..storage import paths
from ..storage.schema import REMOVED
from .buffer import Buffer, about_labels, as_batch
from .recording import Recording
from .recordings import recordings, refuse_second_recording

log = logging.getLogger(__name__)


class Recorder:
    """Records margin, p(label) and the last logits of every sample while *your* loop trains.

        recorder = labelaudit.Recorder(dataset, run="mine")
        for epoch in range(epochs):
            for images, labels, ids in loader:
                logits = model(images)
                recorder.update(ids, logits)
                ...  # loss, backward, step
            recorder.end_epoch()
        recorder.finish()

    After `finish` there is a run of that name with dynamics and predictions: `compute_scores`,
    `suspects` and the app know it like any other, but it has no model. As a context manager it
    finishes at the end of the block, unless an exception ends that.

    An epoch is what lies between two calls of `end_epoch`, whatever was seen in it: samplers that
    drop, repeat or leave out samples need no care. Of a sample that comes twice in an epoch the
    later logits count; one that does not come has no entry for that epoch.

    Once training runs, nothing that is wrong with what it is given raises: it is left out, said
    once in the log, and counted in the run's `info["notes"]`. In memory it takes 4 bytes for each
    sample and class, and on the device at most some 8 MB.

    Where torch.distributed is initialised each rank has a Recorder and makes the same calls;
    `end_epoch` and `finish` bring what they saw to rank 0, which alone writes.
    """

    def __init__(
        self,
        target: Dataset | View,
        run: str | None = None,
        classes: Sequence[str] | None = None,
        *,
        resume: bool = False,
    ) -> None:
        """target: the samples that will be seen; their labels are read now. Removed samples and
        those without a label have no margin, but are predicted.

        run: name of the run, by default the next free one; an earlier run of that name is replaced
        when this one is finished, and until then nothing but finished runs counts.
        classes: the dataset's class names in the order of the model's outputs, if that is another.
        resume: go on after the last whole epoch (`epochs` says which) of a recording of that name
        that was cut short on this machine; where there is none, begin.
        Raises LabelAuditError for names that do not fit and fewer than two classes, and on resuming
        where labels were changed meanwhile.
        """
        view = target.view() if isinstance(target, Dataset) else target
        self._frame = view.frame
        if run is not None:
            paths.check_name(run, "run")
            refuse_second_recording(self._frame, run)
        self._told: Counter[str] = Counter()
        self._texts: dict[str, str] = {}
        self._buffer, self._closed, self._write_failed = Buffer(), False, False
        cut_short = recordings(self._frame, run) if resume else []
        if cut_short:
            self._recording = Recording.resumed(self._frame, cut_short[-1])
        else:
            self._recording = Recording(self._frame, run, *_labels(view))
        # those of a recording that goes on: classes may have been added to the dataset since
        self._columns = _columns(self._frame, self._recording.classes, classes)

    @property
    def epochs(self) -> int:
        """Number of whole epochs that are recorded."""
        return self._recording.epochs

    @property
    def ids(self) -> np.ndarray:
        """Ids of the samples that it knows, int64 (n,), sorted."""
        return self._recording.ids

    def update(self, ids, logits, embeddings=None, *, learned: bool = True) -> None:
        """Take note of a batch. Copies are made on the device, and read some dozens of steps later.

        ids: int (n,), a tensor, an array or a list. logits: (n, C), a tensor on any device, with or
        without gradient, in any precision, or an array; before softmax (log-probabilities do).
        embeddings: optional, (n, D), what the model sees of each: for similar images.
        learned: whether the model learns these samples. False for those it does not (a validation
        set, the fold that is left out): what it says of them is kept as out of sample.
        """
        if self._closed:
            self._leave_out("closed", 1, "batches that came after the recording was finished")
            return
        try:
            batch = as_batch(ids, logits, embeddings, learned, len(self._columns))
            if not self._buffer.takes(batch):
                self._take_in()
            self._buffer.add(batch)
            if self._buffer.is_full:
                self._take_in()
        except LabelAuditError as error:
            self._leave_out("batch", 1, "batches that do not fit", str(error))
        except Exception as error:  # a loop that has run for hours must not end for this
            self._leave_out("batch", 1, "batches that could not be read", repr(error))

    def end_epoch(self) -> None:
        """Close an epoch of what came since the last call. Nothing came: no epoch.

        It is on disk at once, or a few seconds later where epochs are shorter than that.
        """
        if self._closed:
            return
        try:
            self._take_in()
        except Exception as error:
            self._leave_out("batch", 1, "batches that could not be read", repr(error))
        if not self._gather():
            self._recording.forget_epoch()
            return
        self._recording.end_epoch()
        try:
            self._recording.write()
        except LabelAuditError as error:
            if not self._write_failed:
                log.warning("recording: %s It is tried again after each epoch.", error)
            self._write_failed = True

    def forget_after(self, epoch: int) -> None:
        """Forget the epochs after this one: for a training that goes on from an earlier checkpoint
        than the recording does."""
        self._buffer.empty()
        if self._rank == 0:
            self._recording.forget_after(epoch)
        else:
            self._recording.forget_epoch()

    def finish(self) -> Run | None:
        """Make a run of what was recorded, and return it; what came since `end_epoch` is an epoch.

        None, with a warning, where nothing was recorded, and on other ranks than 0. Raises
        LabelAuditError where the run cannot be written: mend that, and call it again.
        """
        if self._closed:
            return self._recording.run
        self.end_epoch()
        recording = self._recording
        if self._rank == 0 and recording.is_empty:
            log.warning(
                "nothing was recorded of dataset %r, so there is no run: call "
                "recorder.update(ids, logits) in the training loop.", self._frame.name,
            )  # fmt: skip
        elif self._rank == 0:
            recording.finish([f"{n:,} {self._texts[key]}" for key, n in self._told.items()])
        self._closed = True
        recording.close()
        return recording.run

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.finish()
        elif not self._closed:  # its whole epochs stay, for resume=True
            self._closed = True
            with suppress(LabelAuditError):  # what ended the block counts
                self._recording.write(at_once=True)
            self._recording.close()

    # --- inside ---

    def _take_in(self) -> None:
        """Read what waits on the device: one copy of margins, p(label), logits and embeddings."""
        waiting = self._buffer.empty()
        if waiting is None:
            return
        batches, logits, vectors, learned = waiting
        twice = sum(len(ids) - len(np.unique(ids)) for ids in batches)
        self._leave_out(
            "twice", twice, "logits of samples that came twice in a batch: the later count"
        )
        recording, ids = self._recording, np.concatenate(batches)
        places, known = find(recording.ids, ids)
        if not known.all():
            self._leave_out(
                "unknown", int((~known).sum()), "logits of samples that are not recorded",
                f"such as id {ids[~known][0]}",
            )  # fmt: skip
        logits = logits[:, self._columns]
        parts = [*(v[:, None] for v in about_labels(logits, recording.labels[places])), logits]
        parts += [] if vectors is None else [vectors]
        values = torch.cat(parts, dim=1).cpu().numpy()
        end = 2 + len(self._columns)
        finite = np.isfinite(values[:, :end]).all(axis=1)
        self._leave_out("finite", int((known & ~finite).sum()), "logits that are not finite")
        good = known & finite
        at, values = places[good], values[good]
        vectors = None if vectors is None else self._fitting(values[:, end:])
        recording.put(at, values[:, :2].T, values[:, 2:end], vectors, learned)

    def _fitting(self, vectors: np.ndarray) -> np.ndarray | None:
        """Embeddings if they are as wide as those before, rows that are not finite made NaN."""
        before = self._recording.vectors
        if before is not None and before.shape[1] != vectors.shape[1]:
            self._leave_out("width", len(vectors), "embeddings of another width than those before")
            return None
        bad = ~np.isfinite(vectors).all(axis=1)
        self._leave_out("vectors", int(bad.sum()), "embeddings that are not finite")
        return np.where(bad[:, None], np.nan, vectors)

    def _leave_out(self, key: str, count: int, what: str, why: str = "") -> None:
        """Count what is left out, and say it the first time."""
        if not count:
            return
        self._texts.setdefault(key, f"{what} were left out" if key != "twice" else what)
        if key not in self._told:
            log.warning(
                "recording: %s%s. It is said once.", self._texts[key], f" ({why})" if why else ""
            )
        self._told[key] += count

    @property
    def _rank(self) -> int:
        return torch.distributed.get_rank() if _is_distributed() else 0

    def _gather(self) -> bool:
        """Bring the epoch to rank 0. Whether this is it."""
        if not _is_distributed():
            return True
        parts = [None] * torch.distributed.get_world_size() if self._rank == 0 else None
        torch.distributed.gather_object(self._recording.part(), parts)
        for part in (parts or [])[1:]:
            self._recording.merge(part)
        return self._rank == 0


def _is_distributed() -> bool:
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return there and torch.distributed.get_world_size() > 1


def _labels(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Sorted ids of a view, and their given classes; MISSING also for what a verdict removed."""
    frame = view.frame
    with view.steady():
        at = np.sort(view.positions())
        labels = np.where(frame.tagged(REMOVED)[at], MISSING, frame.label[at])
        return frame.ids[at], labels.astype(np.int32)


def _columns(frame: Frame, own: list[str], classes: Sequence[str] | None) -> list[int]:
    """Which of the model's outputs stands for each of the dataset's own classes."""
    name = frame.name
    if len(own) < 2:
        raise LabelAuditError(f"dataset {name!r} has {len(own)} classes: a margin needs two.")
    if classes is None:
        return list(range(len(own)))
    classes = list(classes)
    frame.class_codes(classes)  # says so if one is no class
    if sorted(classes) != sorted(own):
        missing = next((c for c in own if c not in classes), None)
        what = f"lacks {missing!r}" if missing else "has a name twice"
        raise LabelAuditError(
            f"classes= {what}: give each of the {len(own)} classes of dataset {name!r} once, in "
            "the order of the model's outputs."
        )
    return [classes.index(c) for c in own]
