"""What an audit found: printed, as JSON, as CSV."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pandas as pd

from ..core.plural import counted
from ..dataset.dataset import Dataset
from ..dataset.noise import NoiseReport
from ..dataset.view import View
from ..export import write_suspects
from ..scores import SCORES
from .ranking import confidence_note

SHOWN = 10  # suspects in the printed result


@dataclass(frozen=True)
class AuditResult:
    """What an audit found. Print it, or continue with `suspects`."""

    dataset: Dataset
    run: str
    score: str  # the score that ranks `suspects`
    suspects: View
    evaluation: pd.DataFrame | None  # one row per score; None if no mistakes were injected
    noise: NoiseReport | None
    validation_accuracy: float | None  # against the given labels
    true_accuracy: float | None  # held-out accuracy against the labels before injected noise
    stopped: bool
    seconds: dict[str, float]  # by step
    weakness: str | None = None  # a warning, if the model learned almost nothing
    # numbers of samples with a duplicate, of groups with different labels, and of those of them
    # that are exact copies; None if duplicates were not searched for
    duplicates: tuple[int, int, int] | None = None
    training_note: str | None = None  # what was used again after a sync, and why, or why not

    def to_csv(self, path: str | os.PathLike) -> int:
        """Write the suspects as `write_suspects` does. Returns how many."""
        return write_suspects(self.suspects, path)

    def top(self, n: int = SHOWN) -> pd.DataFrame:
        """Return the first n suspects: id, filepath, given, suggested, the ranking score.

        suggested: the most probable other class by suspicion; without it, the predicted class.
        """
        table = self.suspects.limit(n).to_pandas().rename(columns={"ground_truth": "given"})
        if "suggested" not in table:
            table["suggested"] = table["predicted"]
        return table[["id", "filepath", "given", "suggested", self.score]]

    @property
    def note(self) -> str | None:
        """Why the printed result has no probabilities; None if it has them."""
        return confidence_note(self.dataset.view(self.run))

    def to_dict(self) -> dict:
        """Return everything as plain JSON values, with the first suspects only."""
        return {
            "dataset": self.dataset.name,
            "samples": len(self.dataset),
            "classes": self.dataset.classes,
            "run": self.run,
            "score": self.score,
            "validation_accuracy": self.validation_accuracy,
            "true_accuracy": self.true_accuracy,
            "stopped": self.stopped,
            "weakness": self.weakness,
            "duplicates": self.duplicates,
            "note": self.note,
            "training_note": self.training_note,
            "suspects": len(self.suspects),
            "top": self.top().to_dict("records"),
            "evaluation": None if self.evaluation is None else self.evaluation.to_dict("records"),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        parts = [self._summary(), self._suspects_text(), self._evaluation_text()]
        times = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.seconds.items())
        name = self.dataset.name
        after = (
            f"Next: review the suspects in the app (labelaudit app), or list them (labelaudit "
            f"suspects {name} --run {self.run})."
        )
        return "\n\n".join([*filter(None, parts), f"Time: {times}.", after])

    def _summary(self) -> str:
        early = " (stopped early)" if self.stopped else ""
        lines = [
            f"{self.dataset.name}: {counted(len(self.dataset), 'sample')}, "
            f"{counted(len(self.dataset.classes), 'class')}, run {self.run}{early}",
        ]
        if self.noise:
            lines.append(f"Rehearsal: {self.noise}.")
        if self.validation_accuracy is not None:
            text = f"Validation accuracy {self.validation_accuracy:.3f} against the given labels"
            if self.true_accuracy is not None:
                text += f", {self.true_accuracy:.3f} against the labels before the mistakes"
            lines.append(f"{text}.")
        if self.duplicates:
            samples, groups, exact = self.duplicates
            lines.append(
                f"{counted(samples, 'sample', 'has', 'have')} a duplicate; "
                f"{counted(groups, 'group')} of duplicates with different labels, {exact:,} of "
                "exact copies."
            )
        if self.weakness:
            lines.append(self.weakness)
        if self.training_note:
            lines.append(self.training_note)
        return "\n".join(lines)

    def _suspects_text(self) -> str:
        score, count = SCORES[self.score], len(self.suspects)
        top, note = self.top(), self.note
        table = _indented(top.drop(columns=self.score) if note else top) if count else "  none"
        title = f"{counted(count, 'suspect')} by {score.title}: {score.meaning}"
        return "\n".join([title, *([note] if note else []), table])

    def _evaluation_text(self) -> str:
        if self.evaluation is None:
            return ""
        k, mistakes = self.evaluation["k"][0], self.evaluation["mistakes"][0]
        table = _indented(self.evaluation.drop(columns=["k", "mistakes", "samples"]))
        return f"Mistakes among the first {k:,} of each ranking (of {mistakes:,} in all):\n{table}"


def _indented(table: pd.DataFrame) -> str:
    text = table.to_string(index=False, float_format=lambda value: f"{value:.4f}")
    return "\n".join(f"  {line}" for line in text.splitlines())
