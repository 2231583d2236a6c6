"""A Recorder in Hugging Face's Trainer."""

from __future__ import annotations

from functools import partial

from ..core.errors import LabelAuditError
from ..learn.recorder import Recorder
from .batches import BatchCheck, logits_of, remove_argument

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise LabelAuditError(
        "transformers is not installed: pip install transformers accelerate."
    ) from error


class LabelAuditCallback(TrainerCallback):
    """Records training batches, and those of evaluations during training as out of sample.

    Trainer gives a callback neither batches nor logits, so hooks of the model record them: one
    removes "id" from the model's arguments before `forward`, another reads the logits of the
    output. The dataset must yield "id" with each sample, and TrainingArguments must have
    `remove_unused_columns=False`.

    An evaluation belongs to the epoch before it. With a resumed Recorder, the epochs after the one
    from which the training resumes are deleted.
    """

    def __init__(self, recorder: Recorder, id_key: str = "id", evaluation: bool = True) -> None:
        """id_key: key of the ids. evaluation: False if evaluations contain samples that the model
        is trained on."""
        self.recorder, self._id_key, self._evaluation = recorder, id_key, evaluation
        self._ids, self._hooks, self._in_epoch = None, [], False
        self._check = BatchCheck(
            f"let the dataset yield {id_key!r} with each sample, set remove_unused_columns=False "
            "in TrainingArguments, and use a model whose output has logits."
        )

    def on_init_end(self, args, state, control, model=None, **_) -> None:
        # never removed, because batches of later evaluations contain ids too
        model.register_forward_pre_hook(partial(remove_argument, self._id_key), with_kwargs=True)

    def on_train_begin(self, args, state, control, model=None, **_) -> None:
        self._hooks = [
            # prepended, because the other hook removes the ids
            model.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
            model.register_forward_hook(self._after),
        ]
        done = round(state.epoch or 0)
        if self.recorder.epochs > done:
            self.recorder.forget_after(done)

    def on_epoch_begin(self, args, state, control, **_) -> None:
        if self._in_epoch:  # not at its end, because evaluations come after it
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
        if self._check(ids, logits):
            self.recorder.update(ids, logits, learned=module.training)
