"""A Recorder in Keras 3's `fit`, on any backend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from ..predictions.numbers import FLOOR, TOLERANCE
from .batches import Complaint, ids_of

try:
    from keras.callbacks import Callback
except ImportError as error:  # also where its backend is not there
    raise LabelAuditError(
        f"Keras cannot be used ({error}): pip install keras, and set KERAS_BACKEND=torch before "
        "it is imported, or install another backend."
    ) from error


class LabelAuditCallback(Callback):
    """Predicts the samples after each epoch, and records what it gets.

    Keras shows a callback neither batches nor outputs, so this costs a prediction of all samples an
    epoch: a quarter to a third of its time; `every=2` halves that. In exchange it is the model in
    evaluation mode that is recorded, without augmentation and dropout. Where the model gives
    probabilities (softmax) their logarithm is recorded.
    """

    def __init__(
        self,
        recorder: Recorder,
        x,
        ids=None,
        held_out: tuple | None = None,
        batch_size: int = 256,
        every: int = 1,
    ) -> None:
        """x: images as `model.predict_on_batch` takes them, with their ids, int (n,); or, without
        ids, something that yields batches (images, labels, ids) each time it is gone through, as
        a DataLoader of a TorchImageDataset. held_out: (x, ids) of samples that the model does not
        learn, the ids None for such a loader. every: record after so many epochs."""
        super().__init__()
        self.recorder, self._batch_size, self._every = recorder, batch_size, every
        self._data = [(x, ids, True)] + ([(*held_out, False)] if held_out else [])
        self._complaint = Complaint("give ids=, or batches (images, labels, ids).")
        for images, given, _ in self._data:
            if given is not None and len(images) != len(given):
                raise LabelAuditError(
                    f"{len(given)} ids were given with {len(images)} images: give one for each."
                )
        if every < 1:
            raise LabelAuditError(f"every={every}: give a number of epochs, 1 or more.")

    def on_epoch_end(self, epoch, logs=None) -> None:
        if (epoch + 1) % self._every:
            return
        for x, ids, learned in self._data:
            for images, some in self._batches(x, ids):
                logits = self.model.predict_on_batch(images)
                if self._complaint.about(some, logits):
                    self.recorder.update(some, _as_logits(logits), learned=learned)
        self.recorder.end_epoch()

    def on_train_end(self, logs=None) -> None:
        self.recorder.finish()

    def _batches(self, x, ids) -> Iterator[tuple]:
        if ids is None:
            yield from ((batch[0], ids_of(batch)) for batch in x)
            return
        for start in range(0, len(ids), self._batch_size):
            rows = slice(start, start + self._batch_size)
            yield x[rows], ids[rows]


def _as_logits(output: np.ndarray) -> np.ndarray:
    """The output itself, or its logarithm where every row is a distribution."""
    output = np.asarray(output, np.float32)
    if (output >= 0).all() and (np.abs(output.sum(axis=-1) - 1) < TOLERANCE).all():
        return np.log(np.maximum(output, FLOOR))
    return output
