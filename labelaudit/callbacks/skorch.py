"""A Recorder in a skorch net."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from ..predictions.numbers import FLOOR
from .batches import BatchCheck, ids_of, logits_of, remove_argument

try:
    from skorch.callbacks import Callback
except ImportError as error:
    raise LabelAuditError("skorch is not installed: pip install skorch.") from error


class LabelAuditCallback(Callback):
    """Records training batches, and those of the internal validation as out of sample.

    Ids are passed with the images: `net.fit({"x": images, "id": ids}, labels)`, where `x` is the
    name of the images in the module's `forward`; or by a torch Dataset that yields
    ({"x": image, "id": id}, label). They are removed before `forward`. With NLLLoss, skorch's
    default, the module returns probabilities, and their logarithm is recorded.

    The recording is finished with the first `fit` or `partial_fit`.
    """

    def __init__(self, recorder: Recorder, id_key: str = "id", validation: bool = True) -> None:
        """id_key: key of the ids. validation: False if the validation batches contain samples that
        the model is trained on."""
        self.recorder, self.id_key, self.validation = recorder, id_key, validation

    def initialize(self):
        self.check_ = BatchCheck(
            f'fit on {{"x": images, {self.id_key!r}: ids}}, with x the argument of forward().'
        )
        self.hooked_module_ = None
        return self

    def on_train_begin(self, net, X=None, y=None, **_) -> None:  # noqa: N803
        if self.hooked_module_ is not net.module_:
            # stays, because predictions may pass ids too
            net.module_.register_forward_pre_hook(
                partial(remove_argument, self.id_key), with_kwargs=True
            )
            self.hooked_module_ = net.module_

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **_) -> None:
        if not training and not self.validation:
            return
        inputs = batch[0]
        ids = None
        if isinstance(inputs, Mapping):
            ids = inputs.get(self.id_key, ids_of(inputs))
        logits = logits_of(y_pred)
        if self.check_(ids, logits):
            if type(net.criterion_).__name__ == "NLLLoss":
                logits = logits.detach().float().clamp(min=FLOOR).log()
            self.recorder.update(ids, logits, learned=training)

    def on_epoch_end(self, net, **_) -> None:
        self.recorder.end_epoch()

    def on_train_end(self, net, X=None, y=None, **_) -> None:  # noqa: N803
        self.recorder.finish()
