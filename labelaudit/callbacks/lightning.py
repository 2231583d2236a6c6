"""A Recorder in Lightning's Trainer."""

from __future__ import annotations

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from .batches import BatchCheck, IdsOf, ids_of, logits_of

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise LabelAuditError("Lightning is not installed: pip install lightning.") from error


class LabelAuditCallback(Callback):
    """Records training batches, and validation batches as out of sample.

    Ids come from the batch: (image, label, id), or a mapping with "id". Logits are "logits" of the
    step's result; if there are none, the output of the module when the step called it
    (`self(images)`), or that of a submodule: `module="net"`. The sanity check is not recorded.

    With a resumed Recorder, epochs after the one from which the training resumes are deleted.
    """

    def __init__(
        self,
        recorder: Recorder,
        module: str | None = None,
        ids: IdsOf = ids_of,
        validation: bool = True,
    ) -> None:
        """module: name in `named_modules` of the submodule that returns the logits. ids: a function
        of a batch that returns its ids. validation: False if the validation batches contain samples
        that the model is trained on."""
        self.recorder, self._module, self._ids, self._validation = recorder, module, ids, validation
        self._output = self._hook = None
        self._check = BatchCheck(
            'yield (image, label, id) or a dict with "id", and return {"loss": loss, "logits": '
            'logits} from the step or name the submodule that returns them, module="…".'
        )

    def setup(self, trainer, pl_module, stage) -> None:
        if stage == "fit":
            part = pl_module.get_submodule(self._module) if self._module else pl_module
            self._hook = part.register_forward_hook(self._store_output)

    def teardown(self, trainer, pl_module, stage) -> None:
        if self._hook:
            self._hook.remove()
        self._hook = self._output = None

    def on_train_start(self, trainer, pl_module) -> None:
        if self.recorder.epochs > trainer.current_epoch:
            self.recorder.forget_after(trainer.current_epoch)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self._update(outputs, batch, learned=True)

    def on_validation_batch_end(
        self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0
    ) -> None:
        fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
        if self._validation and fitting:
            self._update(outputs, batch, learned=False)
        self._output = None

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.recorder.end_epoch()  # validation is part of the epoch

    def on_train_end(self, trainer, pl_module) -> None:
        self.recorder.finish()

    def _store_output(self, module, arguments, output) -> None:
        self._output = output

    def _update(self, outputs, batch, learned: bool) -> None:
        returned = logits_of(outputs) if outputs is not None else None
        logits = logits_of(self._output) if returned is None else returned
        self._output = None  # it refers to the graph of the step
        ids = self._ids(batch)
        if self._check(ids, logits):
            self.recorder.update(ids, logits, learned=learned)
