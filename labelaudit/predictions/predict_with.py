"""Predicts a dataset with a model of the user's own, and stores the predictions as a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.errors import BadInputError
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.stored_predictions import create_imported_run, imported_run_info, refuse_to_replace
from ..dataset.target import Target, as_view
from ..features.image_batches import Images
from ..features.image_size import usual_size
from ..learn.predict import ROWS
from .classes import match_classes, unknown_sentence
from .external_model import ExternalModel
from .numbers import LogitConverter, check_kind
from .open_model import open_model

OWN = "own"  # default name of the run
BATCH_SIZE = 64
LARGEST = 224  # default side of the images in pixels, at most


def predict_with(
    target: Target,
    model: Any,
    run: str = OWN,
    *,
    classes: Sequence | None = None,
    weights: str | Path | None = None,
    image_size: int | None = None,
    preprocess: Callable | str | None = None,
    batch_size: int = BATCH_SIZE,
    kind: str | None = None,
    out_of_sample: bool = False,
    device: str = "auto",
    task: Task = QUIET,
) -> Run:
    """Predict every image of a dataset or view with your own model, and store the predictions as a
    run; score it with `compute_scores`. Images are resized to a square of image_size pixels a side.

    model is one of:

    - a function: takes uint8 NumPy (n, S, S, 3), RGB, and returns logits or probabilities (n, C),
      as an array, a tensor or lists;
    - an estimator with `predict_proba`: takes the pixels / 255 as float32 (n, S * S * 3), or the
      result of `preprocess` on uint8 (n, S, S, 3). (For an estimator on embeddings, use
      `import_predictions` with its predictions of `run.all_embeddings()`.)
    - a torch module: takes float32 (n, 3, S, S), 0 to 1, in evaluation mode and on its device; the
      input of its last linear layer is stored as embedding. Its output may have `.logits`;
    - the path of a torch.export file (.pt2) or of a TorchScript file: like a module. No pickle is
      loaded, and a .pt2 file that contains one is refused. But both are programs that run with your
      rights, and torch evaluates expressions in a .pt2 file. Do not load files that you do not
      trust;
    - "timm:resnet18", "torchvision:resnet18" …: that network, with `weights` (a .safetensors file,
      or a .pt file of tensors only) or weights="pretrained", which may download them. It uses its
      own image size and normalisation.

    classes: classes of its outputs in order; by default an estimator's `classes_`, or the dataset's
    classes if there are as many. See `import_predictions`, also for kind and out_of_sample, and for
    which earlier run of this name is replaced. A pretrained network needs classes.
    image_size: by default the size that the model specifies, or that of most images, at most
    LARGEST.
    preprocess: replaces the inputs described above: a function of the batch (the uint8 array, or
    for torch the uint8 tensor (n, 3, S, S) on its device); or "unit" (0 to 1), "imagenet"
    (normalised) or "uint8" (unchanged).
    device: of a torch model; "auto" leaves a module on its device.

    Images are streamed, and storing is one commit. Raises StoppedError after a stop; then nothing
    changes. Raises BadInputError for a model that cannot be run, for classes that do not fit, and
    for outputs that are neither logits nor probabilities.
    """
    started = time.monotonic()
    check_kind(kind)
    if batch_size < 1:
        raise BadInputError(f"batch_size={batch_size}: use 1 or more.")
    view = as_view(target)
    frame = view.frame
    refuse_to_replace(Dataset(frame.name), run)
    ids = np.sort(view.ids)
    if not len(ids):
        raise BadInputError(f"no sample of {frame.name!r} is selected: nothing to predict.")
    opened = open_model(model, classes, weights, preprocess, device, len(frame.classes))
    size = image_size or opened.size or usual_size(frame, ids, 1, LARGEST)
    rows = opened.rows or batch_size
    predictor = _Predictor(opened, Images(frame, ids, size), classes, kind, rows)
    imported = {
        "source": opened.what,
        "by": "model",
        "image_size": size,
        "rows": len(ids),
        "samples": len(frame.ids),
        "out_of_sample": bool(out_of_sample),
        **predictor.probe(),
    }
    notes = [f"{opened.what} predicted {counted(len(ids), 'image')} of {size} x {size} pixels."]
    if imported["extra"]:
        notes.append(unknown_sentence(frame, imported["extra"]))
    info = imported_run_info(frame, imported, time.monotonic() - started, notes)
    return create_imported_run(frame, run, info, predictor.batches(task), task)


class _Predictor:
    """The outputs of a model as logits of its classes, those of the dataset first."""

    def __init__(
        self,
        model: ExternalModel,
        images: Images,
        classes: Sequence | None,
        kind: str | None,
        rows: int,
    ) -> None:
        self.model, self.images, self.rows = model, images, rows
        self.names = model.classes if classes is None else classes
        self.kind = kind or model.kind

    def probe(self) -> dict:
        """Predict the first images to find out the kind of numbers and their classes.

        Raises LabelAuditError if no image can be read, or if the outputs do not fit.
        """
        first = next(self._outputs(), None)
        if first is None:
            raise self.images.nothing_readable()
        at, values, embeddings = first
        self.columns = match_classes(
            self.images.frame, self.names, values.shape[1], self.model.what
        )
        converter = self._converter()
        converter(values, self.images.ids[at])
        self.kind = converter.kind
        return {
            "kind": self.kind,
            "missing": self.columns.missing,
            "extra": self.columns.extra,
            "embeddings": None if embeddings is None else embeddings.shape[1],
        }

    def batches(self, task: Task) -> Iterator[tuple]:
        """Yield batches for `Run.write_predictions`, of at least ROWS samples."""
        stage = task.stage("predicting", len(self.images))
        converter = self._converter()
        waiting: list[tuple] = []
        count = 0
        for at, values, embeddings in self._outputs():
            task.check("predicting")
            ids = self.images.ids[at]
            batch = (ids, converter(values, ids))
            waiting.append(batch if embeddings is None else (*batch, embeddings))
            count += len(at)
            stage.advance(len(at))
            if count >= ROWS:
                yield tuple(map(np.concatenate, zip(*waiting, strict=True)))
                waiting, count = [], 0
        if waiting:
            yield tuple(map(np.concatenate, zip(*waiting, strict=True)))

    def _converter(self) -> LogitConverter:
        return LogitConverter(self.columns, self.kind, f"the output of {self.model.what}")

    def _outputs(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yield places, numbers and embeddings of all readable images."""
        for at, batch in self.images.batches(np.arange(len(self.images)), self.rows):
            padding = self.model.rows - len(batch) if self.model.rows else 0
            if padding:
                batch = torch.cat([batch, batch[-1:].expand(padding, -1, -1, -1)])
            values, embeddings = self.model.predict(batch)
            count = len(at)
            if len(values) != len(batch):
                raise BadInputError(
                    f"{self.model.what} returned {len(values):,} rows for {len(batch):,} images: "
                    "it must return one for each."
                )
            yield at, values[:count], None if embeddings is None else embeddings[:count]
