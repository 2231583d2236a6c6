"""Predicts samples with a saved model, and stores the logits and the embedding of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..core.progress import QUIET, Task
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.stored_predictions import store_predictions
from ..dataset.target import Target, opened
from ..dataset.view import View
from ..features.device import choose_device
from ..features.image_batches import Images
from .forward import Copy, augmented_copies, forward_with_embeddings
from .models import Ensemble
from .saved_models import load_weights, trained_run

log = logging.getLogger(__name__)

ROWS = 10_000  # predictions written to the store at once


def predict(
    target: Target,
    run: str | None = None,
    device: str = "auto",
    task: Task = QUIET,
    *,
    augment: bool = True,
) -> int:
    """Predict every sample of a dataset or view with a run's model; store logits and embeddings,
    and tag the samples `processed`.

    run: name of the run, by default the one trained last. augment: logits and embeddings are means
    over the image and the shifted and mirrored copies used in training (test-time augmentation). On
    10,000 CIFAR-10 images with 20 % mistakes this raises the average precision of self-confidence
    from 0.890 to 0.895.
    Returns the number of samples predicted; those whose image cannot be read are left out, and the
    log says so. After a stop or an error, the stored predictions are unchanged.
    Raises StoppedError after a stop, and LabelAuditError if no image can be read.
    """
    target = opened(target)
    request = request_predictions(target, run)
    run, ids = request.run, request.ids
    device = choose_device(device)
    model = load_weights(run).to(device)
    if not len(ids):
        return 0
    images = Images(request.frame, ids, run.info["image_size"])
    predictor = FoldPredictor(model, run.info, run.folds(ids), images, device, augment)
    stage = task.stage("predicting", len(images))

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, len(ids), ROWS):
            places = np.arange(start, min(start + ROWS, len(ids)))
            readable, logits, embeddings = predictor.predict(places, stage.advance)
            if len(readable):
                yield ids[readable], logits, embeddings
        if images.unreadable.all():
            raise images.nothing_readable()

    written = store_predictions(run, batches(), task)
    if images.note:
        log.warning("%s: they have no prediction of run %r.", images.note, run.name)
    return written


@dataclass(frozen=True)
class Request:
    """Which samples to predict with which run. ids: int64 (n,), sorted."""

    run: Run
    frame: Frame
    ids: np.ndarray


def request_predictions(target: Dataset | View, run: str | None) -> Request:
    """Return the samples of a dataset or view, and the run of this name or the one trained last.

    Raises LabelAuditError if the run does not exist, or if none was trained.
    """
    view = target.view() if isinstance(target, Dataset) else target
    trained = trained_run(Dataset(view.frame.name), run)
    return Request(trained, view.frame, np.sort(view.ids))


class FoldPredictor:
    """Predicts images with the models of a run: a sample that was learned in folds with the model
    that did not learn it, any other sample with the mean of all models. Embeddings always come from
    the first model, because those of two models could not be compared.

    info: the run's info. fold: int8 (n,), of each image, see `Run.folds`. augment: whether shifted
    and mirrored copies are predicted too.
    """

    def __init__(
        self, model, info: dict, fold: np.ndarray, images: Images, device, augment: bool
    ) -> None:
        self.model, self.images, self.device = model, images, device
        copies = augmented_copies(info["shift"], info["mirror"])
        self.copies = copies if augment else [Copy()]
        self.members = list(model.members) if isinstance(model, Ensemble) else [model]
        self.fold = fold if len(self.members) > 1 else np.zeros(len(images), np.int8)

    def predict(self, places: np.ndarray, advance: Callable[[int], None]):
        """Return the places with a readable image, int64 (m,), their logits, float32 (m, C), and
        embeddings, float32 (m, D).

        places: int64 (n,). advance: called with the number of images predicted since the last call.
        """
        places, logits, embeddings = self._forward(self.members[0], places, advance)
        readable = np.ones(len(places), bool)
        for fold in np.unique(self.fold[places]):
            here = np.flatnonzero(self.fold[places] == fold)
            if fold != 0:
                model = self.model if fold < 0 else self.members[fold]
                found, own_logits, _ = self._forward(model, places[here], lambda _: advance(0))
                # an image file may disappear between the two passes
                readable[here] = np.isin(places[here], found)
                logits[here[readable[here]]] = own_logits
        return places[readable], logits[readable], embeddings[readable]

    def _forward(self, model, places: np.ndarray, advance: Callable[[int], None]):
        batches = []
        for batch in forward_with_embeddings(model, self.images, places, self.device, self.copies):
            advance(len(batch[0]))
            batches.append(batch)
        if not batches:
            nothing = np.empty((0, 1), np.float32)
            return places[:0], nothing, nothing
        return tuple(map(np.concatenate, zip(*batches, strict=True)))
