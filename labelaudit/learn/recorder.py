"""Records a training loop of the user's own, and turns the recording into an ordinary run."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch

from ..core.errors import BadInputError, LabelAuditError
from ..core.plural import counted
from ..dataset.arrays import MISSING, find
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.target import Target, opened
from ..dataset.view import View
from ..storage import paths
from ..storage.schema import REMOVED
from .batch_buffer import BatchBuffer, as_batch
from .label_margins import margin_and_p_label
from .recording import Recording
from .unfinished_recordings import refuse_second_recording, unfinished_recordings

log = logging.getLogger(__name__)


class Recorder:
    """Records margin, p(label) and the last logits of every sample during *your* training loop.

        recorder = labelaudit.Recorder(dataset, run="mine")
        for epoch in range(epochs):
            for images, labels, ids in loader:
                logits = model(images)
                recorder.update(ids, logits)
                ...  # loss, backward, step
            recorder.end_epoch()
        recorder.finish()

    After `finish` there is a run of that name with dynamics and predictions. `compute_scores`,
    `suspects` and the app treat it like any other run, but it has no model. Used as a context
    manager, the recorder calls `finish` at the end of the block, unless an exception ended it.

    An epoch is everything between two calls of `end_epoch`, so samplers may drop, repeat or leave
    out samples. If a sample comes twice in an epoch, the later logits count; if it does not come,
    it has no entry for that epoch.

    After the constructor, wrong input does not raise: it is left out, logged once, and counted in
    the run's `info["notes"]`. The recorder needs 4 bytes of memory for each sample and class, and
    about 8 MB at most on the device.

    If torch.distributed is initialised, each rank has a Recorder and makes the same calls;
    `end_epoch` and `finish` send the records to rank 0, which alone writes.
    """

    def __init__(
        self,
        target: Target,
        run: str | None = None,
        classes: Sequence[str] | None = None,
        *,
        resume: bool = False,
    ) -> None:
        """target: the samples to record; their labels are read now. Removed samples and samples
        without a label have predictions but no margin.

        run: name of the run, by default the next free one. An earlier run of that name is replaced
        when this one is finished; until then this run is not listed.
        classes: the dataset's class names in the order of the model's outputs, if it differs.
        resume: continue an unfinished recording of that name on this machine after its last whole
        epoch (see `epochs`); if there is none, start a new one.
        Raises LabelAuditError for names that do not fit, for fewer than two classes, and when
        resuming after labels were changed.
        """
        target = opened(target)
        view = target.view() if isinstance(target, Dataset) else target
        self._frame = view.frame
        if run is not None:
            paths.check_name(run, "run")
            refuse_second_recording(self._frame, run)
        self._skipped: Counter[str] = Counter()  # by key of _texts
        self._texts: dict[str, str] = {}
        self._buffer, self._closed, self._write_failed = BatchBuffer(), False, False
        unfinished = unfinished_recordings(self._frame, run) if resume else []
        if unfinished:
            self._recording = Recording.resumed(self._frame, unfinished[-1])
        else:
            self._recording = Recording(self._frame, run, *_labels(view))
        # the classes of a resumed recording: the dataset may have more since
        self._columns = _columns(self._frame, self._recording.classes, classes)

    @property
    def epochs(self) -> int:
        """Number of whole epochs recorded."""
        return self._recording.epochs

    @property
    def ids(self) -> np.ndarray:
        """Ids of the samples to record, int64 (n,), sorted."""
        return self._recording.ids

    def update(
        self,
        ids: torch.Tensor | np.ndarray | Sequence[int],
        logits: torch.Tensor | np.ndarray,
        embeddings: torch.Tensor | np.ndarray | None = None,
        *,
        learned: bool = True,
    ) -> None:
        """Record a batch. It is copied on its device, and read from there some dozens of steps
        later.

        ids: int (n,), a tensor, an array or a list. logits: (n, C), a tensor on any device, with or
        without gradient, in any precision, or an array; before softmax (log-probabilities do too).
        embeddings: optional, (n, D), the features of each sample, used to find similar images.
        learned: whether the model is trained on these samples. False for samples it is not trained
        on (a validation set, the fold left out): their logits are stored as out of sample.
        """
        if self._closed:
            self._skip("closed", 1, "batches that came after the recording was finished")
            return
        try:
            batch = as_batch(ids, logits, embeddings, learned, len(self._columns))
            if not self._buffer.accepts(batch):
                self._read_buffer()
            self._buffer.add(batch)
            if self._buffer.is_full:
                self._read_buffer()
        except LabelAuditError as error:
            self._skip("batch", 1, "batches that do not fit", str(error))
        except Exception as error:  # must not end a loop that has run for hours
            self._skip("batch", 1, "batches that could not be read", repr(error))

    def end_epoch(self) -> None:
        """End the epoch with everything recorded since the last call; nothing recorded, no epoch.

        It is written to disk immediately, or within a few seconds if epochs are shorter than that.
        """
        if self._closed:
            return
        try:
            self._read_buffer()
        except Exception as error:
            self._skip("batch", 1, "batches that could not be read", repr(error))
        if not self._gather():
            self._recording.drop_epoch()
            return
        self._recording.end_epoch()
        try:
            self._recording.write()
        except LabelAuditError as error:
            if not self._write_failed:
                log.warning("recording: %s It is retried after each epoch.", error)
            self._write_failed = True

    def forget_after(self, epoch: int) -> None:
        """Delete the epochs after this one, for a training that resumes from an earlier checkpoint
        than the recording."""
        self._buffer.clear()
        if self._rank == 0:
            self._recording.forget_after(epoch)
        else:
            self._recording.drop_epoch()

    def finish(self) -> Run | None:
        """Turn the recording into a run, and return it. Batches since `end_epoch` are an epoch.

        Returns None, with a warning, if nothing was recorded, and None on ranks other than 0.
        Raises LabelAuditError if the run cannot be written: fix the cause, and call it again.
        """
        if self._closed:
            return self._recording.run
        self.end_epoch()
        recording = self._recording
        if self._rank == 0 and recording.is_empty:
            log.warning(
                "nothing was recorded of dataset %r, so there is no run: call "
                "recorder.update(ids, logits) in the training loop.",
                self._frame.name,
            )
        elif self._rank == 0:
            recording.finish([f"{n:,} {self._texts[key]}" for key, n in self._skipped.items()])
        self._closed = True
        recording.close()
        return recording.run

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind, *_) -> None:
        if kind is None:
            self.finish()
        elif not self._closed:  # its whole epochs are stored, for resume=True
            self._closed = True
            with suppress(LabelAuditError):  # the exception of the block matters more
                self._recording.write(immediately=True)
            self._recording.close()

    # --- private ---

    def _read_buffer(self) -> None:
        """Read the buffered batches from the device, in one copy, into the recording."""
        buffered = self._buffer.clear()
        if buffered is None:
            return
        recording, ids = self._recording, np.concatenate(buffered.ids)
        repeated = sum(len(batch) - len(np.unique(batch)) for batch in buffered.ids)
        self._skip(
            "twice", repeated, "logits of samples that came twice in a batch: the later count"
        )
        places, known = find(recording.ids, ids)
        if not known.all():
            example = f"such as id {ids[~known][0]}"
            count = int((~known).sum())
            self._skip("unknown", count, "logits of samples that are not recorded", example)
        logits = buffered.logits[:, self._columns]
        margin, p_label = margin_and_p_label(logits, recording.labels[places])
        parts = [margin[:, None], p_label[:, None], logits]
        if buffered.embeddings is not None:
            parts.append(buffered.embeddings)
        values = torch.cat(parts, dim=1).cpu().numpy()
        end = 2 + len(self._columns)
        finite = np.isfinite(values[:, :end]).all(axis=1)
        self._skip("finite", int((known & ~finite).sum()), "logits that are not finite")
        good = known & finite
        places, values = places[good], values[good]
        embeddings = None if buffered.embeddings is None else self._usable(values[:, end:])
        measures = values[:, :2].T
        recording.put(places, measures, values[:, 2:end], embeddings, buffered.learned)

    def _usable(self, embeddings: np.ndarray) -> np.ndarray | None:
        """Return embeddings with NaN in rows that are not finite, or None if their width differs
        from earlier ones."""
        before = self._recording.embeddings
        if before is not None and before.shape[1] != embeddings.shape[1]:
            self._skip("width", len(embeddings), "embeddings of another width than those before")
            return None
        bad = ~np.isfinite(embeddings).all(axis=1)
        self._skip("vectors", int(bad.sum()), "embeddings that are not finite")
        return np.where(bad[:, None], np.nan, embeddings)

    def _skip(self, key: str, count: int, what: str, why: str = "") -> None:
        """Count what is left out, and log it the first time."""
        if not count:
            return
        self._texts.setdefault(key, f"{what} were left out" if key != "twice" else what)
        if key not in self._skipped:
            reason = f" ({why})" if why else ""
            log.warning("recording: %s%s. This is logged once.", self._texts[key], reason)
        self._skipped[key] += count

    @property
    def _rank(self) -> int:
        return torch.distributed.get_rank() if _is_distributed() else 0

    def _gather(self) -> bool:
        """Send the epoch to rank 0. Returns whether this is rank 0."""
        if not _is_distributed():
            return True
        parts = [None] * torch.distributed.get_world_size() if self._rank == 0 else None
        torch.distributed.gather_object(self._recording.part(), parts)
        for part in (parts or [])[1:]:
            self._recording.merge(part)
        return self._rank == 0


def _is_distributed() -> bool:
    ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    return ready and torch.distributed.get_world_size() > 1


def _labels(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted ids of a view and their given classes; MISSING for removed samples too."""
    frame = view.frame
    with view.steady():
        at = np.sort(view.positions())
        labels = np.where(frame.tagged(REMOVED)[at], MISSING, frame.label[at])
        return frame.ids[at], labels.astype(np.int32)


def _columns(frame: Frame, own: list[str], classes: Sequence[str] | None) -> list[int]:
    """Return the model's output for each of the dataset's classes.

    Raises LabelAuditError if `classes` are not the dataset's, each once.
    """
    name = frame.name
    if len(own) < 2:
        raise BadInputError(
            f"dataset {name!r} has {counted(len(own), 'class')}: a margin needs two."
        )
    if classes is None:
        return list(range(len(own)))
    classes = list(classes)
    frame.class_codes(classes)  # raises for a name that is no class
    if sorted(classes) != sorted(own):
        missing = next((c for c in own if c not in classes), None)
        what = f"lacks {missing!r}" if missing else "has a name twice"
        raise BadInputError(
            f"classes= {what}: give each of the {len(own)} classes of dataset {name!r} once, in "
            "the order of the model's outputs."
        )
    return [classes.index(c) for c in own]
