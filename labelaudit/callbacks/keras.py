"""A Recorder in Keras 3's `fit`, on any backend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.errors import BadInputError, LabelAuditError
from ..learn.recorder import Recorder
from ..predictions.numbers import FLOOR, TOLERANCE
from .batches import BatchCheck, ids_of

try:
    from keras.callbacks import Callback
except ImportError as error:  # also if its backend is not installed
    raise LabelAuditError(
        f"Keras cannot be used ({error}): pip install keras, and set KERAS_BACKEND=torch before "
        "it is imported, or install another backend."
    ) from error


class LabelAuditCallback(Callback):
    """Predicts all samples after each epoch, and records the predictions.

    Keras gives a callback neither batches nor outputs, so this takes a prediction of all samples
    per epoch: a quarter to a third of the epoch's time; `every=2` halves that. In return the model
    is recorded in evaluation mode, without augmentation and dropout. If the model returns
    probabilities (softmax), their logarithm is recorded.
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
        ids, an iterable of batches (images, labels, ids), such as a DataLoader of a
        TorchImageDataset. held_out: (x, ids) of samples that the model is not trained on; ids None
        for such an iterable. every: number of epochs between two records.
        Raises LabelAuditError if the numbers of images and ids differ, or `every` is below 1."""
        super().__init__()
        self.recorder, self._batch_size, self._every = recorder, batch_size, every
        self._data = [(x, ids, True)] + ([(*held_out, False)] if held_out else [])
        self._check = BatchCheck("give ids=, or batches (images, labels, ids).")
        for images, given, _ in self._data:
            if given is not None and len(images) != len(given):
                raise BadInputError(
                    f"{len(given)} ids were given with {len(images)} images: give one for each."
                )
        if every < 1:
            raise BadInputError(f"every={every}: give a number of epochs, 1 or more.")

    def on_epoch_end(self, epoch, logs=None) -> None:
        if (epoch + 1) % self._every:
            return
        for x, ids, learned in self._data:
            for images, some in self._batches(x, ids):
                logits = self.model.predict_on_batch(images)
                if self._check(some, logits):
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
    """Return the output, or its logarithm if every row is a probability distribution."""
    output = np.asarray(output, np.float32)
    if (output >= 0).all() and (np.abs(output.sum(axis=-1) - 1) < TOLERANCE).all():
        return np.log(np.maximum(output, FLOOR))
    return output
