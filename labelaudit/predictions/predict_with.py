"""Runs a model of the user's over a dataset, and keeps what it says as a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ..core.errors import LabelAuditError
from ..core.progress import QUIET, Task
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.stored_predictions import create_imported_run, imported_run_info, refuse_to_replace
from ..dataset.view import View
from ..features.image_batches import Images
from ..learn.plan import usual_size
from ..learn.predict import ROWS
from .classes import match_classes, shown
from .external_model import Outside
from .numbers import Logits, check_kind
from .open_model import open_model

OWN = "own"  # what such a run is called, unless it is named
BATCH_SIZE = 64
LARGEST = 224  # pixels a side that images are brought to, where nobody says more


def predict_with(
    target: Dataset | View | str,
    model,
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
    """Ask your own model about every image of a dataset or view, and keep that as a run; score it
    with `compute_scores`. Every image is brought to a square of image_size pixels a side.

    model is one of:

    - a function: gets uint8 NumPy (n, S, S, 3), RGB, and gives logits or probabilities (n, C), as
      an array, a tensor or lists;
    - an estimator with `predict_proba`: gets the pixels / 255 as float32 (n, S * S * 3), or what
      `preprocess` makes of uint8 (n, S, S, 3). (Of embeddings: `import_predictions` of what it
      says of `run.all_embeddings()`.)
    - a torch module: gets float32 (n, 3, S, S), 0 to 1, in evaluation mode and where it lies; the
      input of its last linear layer is kept as embedding. Its answer may have `.logits`;
    - the path of a torch.export file (.pt2) or of a TorchScript file: as a module. No pickle is
      loaded, and a .pt2 that holds one is refused. Yet both are programs: what they compute runs
      here with your rights, and torch evaluates expressions that a .pt2 holds. Load none that you
      do not trust;
    - "timm:resnet18", "torchvision:resnet18" …: that network, with `weights` (a .safetensors file,
      or a .pt of tensors alone) or weights="pretrained", which may fetch them. It gets what it was
      made for: its own size and normalisation.

    classes: what its columns stand for, in order; by default an estimator's `classes_`, else the
    dataset's classes if there are as many. See `import_predictions`, also for kind, out_of_sample,
    and which earlier run of the name is replaced. A pretrained network needs classes.
    image_size: by default what the model says, else as most images are, at most LARGEST.
    preprocess: a function of the batch (the uint8 array, or for torch the uint8 tensor (n, 3, S,
    S) on its device), in place of what is said above; or "unit" (0 to 1), "imagenet" (normalised)
    or "uint8" (as it is).
    device: of a torch model; "auto" leaves a module where it is.

    The images are streamed; one commit. A stop raises StoppedError, and nothing changes. Raises
    LabelAuditError for a model that cannot be asked, classes that do not fit, and answers that are
    neither logits nor probabilities of them.
    """
    started = time.monotonic()
    check_kind(kind)
    if batch_size < 1:
        raise LabelAuditError(f"batch_size={batch_size}: take one image at least.")
    if isinstance(target, str):
        target = Dataset(target)
    view = target.view() if isinstance(target, Dataset) else target
    frame = view.frame
    refuse_to_replace(Dataset(frame.name), run)
    ids = np.sort(view.ids)
    if not len(ids):
        raise LabelAuditError(f"no sample of {frame.name!r} was chosen: nothing to predict.")
    opened = open_model(model, classes, weights, preprocess, device, len(frame.classes))
    size = image_size or opened.size or usual_size(frame, ids, 1, LARGEST)
    asked = _Asked(opened, Images(frame, ids, size), classes, kind, opened.rows or batch_size)
    brought = {
        "source": opened.what, "by": "model", "image_size": size, "rows": len(ids),
        "samples": len(frame.ids), "out_of_sample": bool(out_of_sample), **asked.learn(),
    }  # fmt: skip
    notes = [f"{opened.what} looked at {len(ids):,} images of {size} x {size} pixels."]
    if brought["extra"]:
        notes.append(f"No class of the dataset, left out: {shown(brought['extra'])}.")
    info = imported_run_info(frame, brought, time.monotonic() - started, notes)
    return create_imported_run(frame, run, info, asked.batches(task), task)


class _Asked:
    """A model's answers about images, as logits of the dataset's classes."""

    def __init__(
        self, model: Outside, images: Images, classes: Sequence | None, kind: str | None, rows: int
    ) -> None:
        self.model, self.images, self.rows = model, images, rows
        self.names = model.classes if classes is None else classes
        self.kind = kind or model.kind

    def learn(self) -> dict:
        """Ask about the first images, to see what kind of numbers they are, of which classes."""
        first = next(self._answers(), None)
        if first is None:
            raise self.images.nothing_readable()
        at, values, vectors = first
        self.columns = match_classes(
            self.images.frame, self.names, values.shape[1], self.model.what
        )
        logits = self._logits()
        logits(values, self.images.ids[at])
        self.kind = logits.kind
        return {
            "kind": self.kind, "missing": self.columns.missing, "extra": self.columns.extra,
            "embeddings": None if vectors is None else vectors.shape[1],
        }  # fmt: skip

    def batches(self, task: Task) -> Iterator[tuple]:
        """As `Run.write_predictions` takes them, some ROWS at a time."""
        meter = task.stage("predicting", len(self.images))
        logits = self._logits()
        held: list[tuple] = []
        count = 0
        for at, values, vectors in self._answers():
            task.check("predicting")
            ids = self.images.ids[at]
            made = (ids, logits(values, ids))
            held.append(made if vectors is None else (*made, vectors))
            count += len(at)
            meter.advance(len(at))
            if count >= ROWS:
                yield tuple(map(np.concatenate, zip(*held, strict=True)))
                held, count = [], 0
        if held:
            yield tuple(map(np.concatenate, zip(*held, strict=True)))

    def _logits(self) -> Logits:
        return Logits(self.columns, self.kind, f"the answer of {self.model.what}")

    def _answers(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        for at, batch in self.images.batches(np.arange(len(self.images)), self.rows):
            lacking = self.model.rows - len(batch) if self.model.rows else 0
            if lacking:
                batch = torch.cat([batch, batch[-1:].expand(lacking, -1, -1, -1)])
            values, vectors = self.model.ask(batch)
            count = len(at)
            if len(values) != len(batch):
                raise LabelAuditError(
                    f"{self.model.what} answered with {len(values):,} rows for {len(batch):,} "
                    "images: it must give one for each."
                )
            yield at, values[:count], None if vectors is None else vectors[:count]
