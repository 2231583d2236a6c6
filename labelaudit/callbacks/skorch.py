"""A Recorder in a skorch net."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from ..predictions.numbers import FLOOR
from .batches import Complaint, ids_of, logits_of, without

try:
    from skorch.callbacks import Callback
except ImportError as error:
    raise LabelAuditError("skorch is not installed: pip install skorch.") from error


class LabelAuditCallback(Callback):
    """Records training batches, and those of the internal validation as out of sample.

    Ids go with the images: `net.fit({"x": images, "id": ids}, labels)`, where `x` is what the
    module's `forward` calls the images; or a torch Dataset that yields ({"x": image, "id": id},
    label). They are taken away before `forward`. With NLLLoss, skorch's default, the module gives
    probabilities, of which the logarithm is recorded.

    The recording is finished with the first `fit` or `partial_fit`.
    """

    def __init__(self, recorder: Recorder, id_key: str = "id", validation: bool = True) -> None:
        """id_key: what ids are called. validation: False where the validation batches are of
        samples that the model learns."""
        self.recorder, self.id_key, self.validation = recorder, id_key, validation

    def initialize(self):
        self.complaint_ = Complaint(
            f'fit on {{"x": images, {self.id_key!r}: ids}}, x being the argument of forward().'
        )
        self.watched_ = None
        return self

    def on_train_begin(self, net, X=None, y=None, **_) -> None:  # noqa: N803
        if self.watched_ is not net.module_:
            # to stay: who predicts may give ids too
            net.module_.register_forward_pre_hook(partial(without, self.id_key), with_kwargs=True)
            self.watched_ = net.module_

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **_) -> None:
        if not training and not self.validation:
            return
        inputs = batch[0]
        ids = None
        if isinstance(inputs, Mapping):
            ids = inputs.get(self.id_key, ids_of(inputs))
        logits = logits_of(y_pred)
        if self.complaint_.about(ids, logits):
            if type(net.criterion_).__name__ == "NLLLoss":
                logits = logits.detach().float().clamp(min=FLOOR).log()
            self.recorder.update(ids, logits, learned=training)

    def on_epoch_end(self, net, **_) -> None:
        self.recorder.end_epoch()

    def on_train_end(self, net, X=None, y=None, **_) -> None:  # noqa: N803
        self.recorder.finish()
