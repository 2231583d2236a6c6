"""A Recorder in Lightning's Trainer."""

from __future__ import annotations

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from .batches import Complaint, IdsOf, ids_of, logits_of

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise LabelAuditError("Lightning is not installed: pip install lightning.") from error


class LabelAuditCallback(Callback):
    """Records training batches, and validation batches as out of sample.

    Ids are taken from the batch: (image, label, id), or a mapping with "id". Logits are what the
    step returns under "logits"; where it returns none, what the module gave when the step called it
    (`self(images)`), or a part of it: `module="net"`. The sanity check is not recorded.

    Use it with a Recorder that was resumed, and epochs after the one that training resumes from are
    forgotten.
    """

    def __init__(
        self,
        recorder: Recorder,
        module: str | None = None,
        ids: IdsOf = ids_of,
        validation: bool = True,
    ) -> None:
        """module: the submodule whose output the logits are, by its name in `named_modules`.
        ids: takes a batch and returns its ids. validation: False where the validation batches are
        of samples that the model learns."""
        self.recorder, self._module, self._ids, self._validation = recorder, module, ids, validation
        self._output = self._hook = None
        self._complaint = Complaint(
            'yield (image, label, id) or a dict with "id", and return {"loss": loss, "logits": '
            'logits} from the step or name the submodule that gives them, module="…".'
        )

    def setup(self, trainer, pl_module, stage) -> None:
        if stage == "fit":
            part = pl_module.get_submodule(self._module) if self._module else pl_module
            self._hook = part.register_forward_hook(self._keep)

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
        self.recorder.end_epoch()  # validation lies within the epoch

    def on_train_end(self, trainer, pl_module) -> None:
        self.recorder.finish()

    def _keep(self, module, arguments, output) -> None:
        self._output = output

    def _update(self, outputs, batch, learned: bool) -> None:
        returned = logits_of(outputs) if outputs is not None else None
        logits = logits_of(self._output) if returned is None else returned
        self._output = None  # it holds the step's graph
        ids = self._ids(batch)
        if self._complaint.about(ids, logits):
            self.recorder.update(ids, logits, learned=learned)
