"""A Recorder in Hugging Face's Trainer."""

from __future__ import annotations

from functools import partial

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from .batches import Complaint, logits_of, without

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise LabelAuditError(
        "transformers is not installed: pip install transformers accelerate."
    ) from error


class LabelAuditCallback(TrainerCallback):
    """Records training batches, and those of evaluations during training as out of sample.

    Trainer shows a callback neither batches nor logits, so it watches the model: a hook takes "id"
    out of the model's arguments before `forward`, and another reads the logits of its output. For
    ids to get there, the dataset yields "id" beside the rest, and TrainingArguments have
    `remove_unused_columns=False`.

    An evaluation counts to the epoch before it. With a Recorder that was resumed, the epochs after
    the one that training resumes from are forgotten.
    """

    def __init__(self, recorder: Recorder, id_key: str = "id", evaluation: bool = True) -> None:
        """id_key: what the dataset calls ids. evaluation: False where what is evaluated are samples
        that the model learns."""
        self.recorder, self._id_key, self._evaluation = recorder, id_key, evaluation
        self._ids, self._hooks, self._in_epoch = None, [], False
        self._complaint = Complaint(
            f"let the dataset yield {id_key!r} of each sample, set remove_unused_columns=False in "
            "TrainingArguments, and use a model whose output has logits."
        )

    def on_init_end(self, args, state, control, model=None, **_) -> None:
        # to stay: who evaluates after training has ids in the batches too
        model.register_forward_pre_hook(partial(without, self._id_key), with_kwargs=True)

    def on_train_begin(self, args, state, control, model=None, **_) -> None:
        self._hooks = [
            # before the one that takes the ids away
            model.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
            model.register_forward_hook(self._after),
        ]
        done = round(state.epoch or 0)
        if self.recorder.epochs > done:
            self.recorder.forget_after(done)

    def on_epoch_begin(self, args, state, control, **_) -> None:
        if self._in_epoch:  # not at the end: evaluations come after it
            self.recorder.end_epoch()
        self._in_epoch = True

    def on_train_end(self, args, state, control, **_) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._in_epoch = [], False
        self.recorder.finish()

    def _before(self, module, arguments, keywords) -> None:
        self._ids = keywords.get(self._id_key)

    def _after(self, module, arguments, output) -> None:
        ids, self._ids = self._ids, None
        counts = module.training or (self._evaluation and self._in_epoch)
        if not counts:
            return
        logits = logits_of(output)
        if self._complaint.about(ids, logits):
            self.recorder.update(ids, logits, learned=module.training)
