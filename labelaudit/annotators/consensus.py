"""What the label of each image should be by its annotators and a model, and whom to ask next."""

from __future__ import annotations

import io
import os
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from ..core.csv_cells import guard
from ..core.errors import BadInputError, NotFoundError
from ..core.plural import counted
from ..dataset.arrays import MISSING, find
from ..dataset.class_names import merged_into
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.runs import Run
from ..dataset.target import Target, as_dataset, as_view
from ..dataset.view import View
from ..export.provenance import CONSENSUS, provenance, write_with_provenance
from ..export.tables import csv_writer
from ..storage.schema import RECORDED, REMOVED
from .dawid_skene import Fit, Votes, fit, krippendorff_alpha
from .stored import TABLE, AnnotatorLabels, read_labels

SURE = 0.9  # probability from which `Consensus.apply` changes a label
NO_LABELS = "has no labels by annotators: import them first (labelaudit.import_annotations)"


class AnnotatorConsensus:
    """The fitted annotators and labels of a dataset. `labelaudit.consensus` makes it.

    run: name of the run whose predictions were used, or None. notes: sentences about that.
    """

    def __init__(
        self,
        dataset: Dataset,
        given: AnnotatorLabels,
        ids: np.ndarray,
        votes: Votes,
        fitted: Fit,
        run: str | None,
        notes: list[str],
        listed: np.ndarray,
    ) -> None:
        """ids: of the samples with votes, sorted, int64 (n,). listed: those to list, bool (n,)."""
        self.run, self.notes, self._listed = run, notes, listed
        self._dataset, self._given, self._ids = dataset, given, ids
        self._votes, self._fit = votes, fitted

    def __str__(self) -> str:
        n, changed = len(self.samples), int((self.samples["consensus"] != self.given).sum())
        source = f"the model of run {self.run}" if self.run else "no model"
        lines = [
            f"{counted(len(self._votes.sample), 'label')} by "
            f"{counted(len(self._given.names), 'annotator')} for {counted(n, 'sample')} of "
            f"{self._dataset.name}, with {source}. Agreement beyond chance "
            f"(Krippendorff's alpha): {self.agreement:.2f}.",
            f"The consensus differs from the label of {counted(changed, 'sample')}.",
            *self.notes,
        ]
        table = self.annotators.to_string(index=False, float_format=lambda value: f"{value:.3f}")
        return "\n".join([*lines, "", table])

    @property
    def agreement(self) -> float:
        """Agreement of the annotators beyond chance: Krippendorff's alpha, 1 for perfect, 0 for
        chance; NaN if no sample has labels by two."""
        return krippendorff_alpha(self._counts)

    @property
    def given(self) -> np.ndarray:
        """The dataset's label of each sample of `samples`, objects (n,); None for none."""
        return self.samples["ground_truth"].to_numpy(object)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per sample with labels by annotators, most suspicious first.

        Columns: id, ground_truth, consensus, p (probability of the consensus), p_wrong (that
        ground_truth is wrong), labels (how many annotators), agree (share with the consensus).
        """
        names = self._names
        best = self._fit.posterior.argmax(axis=1)
        rows = np.arange(len(best))
        label = self._label
        p_wrong = 1 - self._fit.posterior[rows, label]
        total = self._counts.sum(axis=1)
        table = pd.DataFrame(
            {
                "id": self._ids,
                "ground_truth": names[label],
                "consensus": names[best],
                "p": self._fit.posterior[rows, best],
                "p_wrong": np.where(label == MISSING, np.nan, p_wrong),
                "labels": total,
                "agree": self._counts[rows, best] / total,
            }
        )
        table = table[self._listed]
        return table.sort_values("p_wrong", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def annotators(self) -> pd.DataFrame:
        """One row per annotator, the least reliable first.

        Columns: annotator, labels (how many), quality (estimated share of right labels), agree
        (share with the consensus), confuses (true class → given class, the most frequent error),
        times (how often, estimated).
        """
        votes, posterior = self._votes, self._fit.posterior
        count = np.bincount(votes.annotator, minlength=votes.annotators)
        right = posterior[votes.sample, votes.label]
        quality = np.bincount(votes.annotator, right, votes.annotators) / count
        same = posterior.argmax(axis=1)[votes.sample] == votes.label
        agree = np.bincount(votes.annotator, same, votes.annotators) / count
        worst = [self._most_confused(i) for i in range(votes.annotators)]
        table = pd.DataFrame(
            {
                "annotator": self._given.names,
                "labels": count,
                "quality": quality,
                "agree": agree,
                "confuses": [text for text, _ in worst],
                "times": [times for _, times in worst],
            }
        )
        return table.sort_values("quality", kind="stable", ignore_index=True)

    def ask(self, n: int = 20) -> pd.DataFrame:
        """Return the n most uncertain samples, and who should label each of them next.

        Columns: id, consensus, or_else (the second class), p (of the consensus), labels (so far),
        ask: the annotator who confuses these two classes least, among those who have not labelled
        the sample; None if all have. Raises BadInputError for a negative n.
        """
        if not isinstance(n, int) or n < 0:
            raise BadInputError(f"ask({n!r}): give a whole number, 0 or more.")
        posterior, votes = self._fit.posterior, self._votes
        logs = np.log(np.maximum(posterior, 1e-12))
        entropy = -(posterior * logs).sum(axis=1)
        listed = np.flatnonzero(self._listed)
        chosen = listed[np.argsort(-entropy[listed], kind="stable")[:n]]
        order = np.argsort(-posterior[chosen], axis=1, kind="stable")
        first, second = order[:, 0], order[:, min(1, votes.classes - 1)]
        confusion, matrix = self._fit.confusion, self._fit.matrix
        who: list[str | None] = []
        for sample, a, b in zip(chosen, first, second, strict=True):
            skill = (confusion[matrix, a, a] + confusion[matrix, b, b]) / 2
            skill[votes.annotator[votes.sample == sample]] = -1
            best = int(skill.argmax())
            who.append(self._given.names[best] if skill[best] >= 0 else None)
        return pd.DataFrame(
            {
                "id": self._ids[chosen],
                "consensus": self._names[first],
                "or_else": self._names[second],
                "p": posterior[chosen, first],
                "labels": self._counts[chosen].sum(axis=1),
                "ask": who,
            }
        )

    def disagreements(self) -> View:
        """Return the samples whose label differs from the consensus, most suspicious first."""
        table = self.samples
        differs = table["consensus"] != table["ground_truth"]
        return self._dataset.view().select(table["id"][differs].to_numpy())

    def apply(self, at_least: float = SURE) -> int:
        """Set the label of each sample to its consensus where that is at least so probable.

        Returns how many labels changed. The change is one entry of the history, and
        `labelaudit.return_to` undoes it. Removed samples keep their label.
        Raises BadInputError unless at_least is from 0 to 1.
        """
        if not 0 <= at_least <= 1:
            raise BadInputError(f"at_least={at_least!r}: give a probability, 0 to 1.")
        table, frame = self.samples, self._dataset.view().frame
        ids = table["id"].to_numpy()
        with frame.steady():
            removed = frame.tagged(REMOVED)[frame.positions(ids)]
        chosen = (table["p"] >= at_least) & (table["consensus"] != table["ground_truth"]) & ~removed
        if not chosen.any():
            return 0
        return self._dataset.set_labels(ids[chosen], table["consensus"][chosen].tolist())

    def to_csv(self, path: str | os.PathLike) -> int:
        """Write `samples` as CSV. Returns the number of rows. Raises StorageError if the file
        cannot be written; an existing one is replaced only when the new one is complete."""
        table = pa.Table.from_pandas(self.samples, preserve_index=False)
        for i, column in enumerate(table.columns):
            if pa.types.is_string(column.type):
                table = table.set_column(i, table.field(i), guard(column))

        def write(sink: io.IOBase) -> int:
            with csv_writer(sink, table.schema) as out:
                out.write_table(table)
            return len(table)

        origin = provenance(self._dataset.view(), CONSENSUS, len(table))
        return write_with_provenance(path, origin, write)

    def p_label(self, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the probability of these labels, float64 (n,), NaN for samples without labels by
        annotators. ids: int64 (n,). labels: class indices, int (n,), negative for none."""
        at, known = find(self._ids, ids)
        known &= labels != MISSING
        found = np.full(len(ids), np.nan)
        found[known] = self._fit.posterior[at[known], labels[known]]
        return found

    @cached_property
    def _counts(self) -> np.ndarray:
        votes = self._votes
        counts = np.zeros((votes.samples, votes.classes), np.int64)
        np.add.at(counts, (votes.sample, votes.label), 1)
        return counts

    @cached_property
    def _names(self) -> np.ndarray:
        return np.array([*self._dataset.classes, None], object)

    @cached_property
    def _label(self) -> np.ndarray:
        frame = self._dataset.view().frame
        with frame.steady():
            return frame.label[frame.positions(self._ids)]

    def _most_confused(self, annotator: int) -> tuple[str, float]:
        votes = self._votes
        own = votes.annotator == annotator
        counts = np.zeros((votes.classes, votes.classes))
        np.add.at(counts.T, votes.label[own], self._fit.posterior[votes.sample[own]])
        np.fill_diagonal(counts, 0)
        true, label = np.unravel_index(counts.argmax(), counts.shape)
        if counts[true, label] < 0.5:
            return "", 0.0
        return f"{self._names[true]} → {self._names[label]}", float(counts[true, label])


def consensus(dataset: Target, run: str | None = None, *, model: bool = True) -> AnnotatorConsensus:
    """Combine the labels of several annotators, and a model, into one label per sample.

    dataset: or its name, or a view: annotators are fitted to all samples in either case, but only
    those of the view are listed and changed.
    Each annotator's errors are estimated by Dawid and Skene's method, with the model's predictions
    as prior of the true class; how far they are trusted is fitted, too. run: whose predictions, by
    default the first of these that did not learn the labels: the latest run, or the first look.
    model: False uses the annotators alone.
    Raises NotFoundError if no labels were imported, and BadInputError for a run that learned the
    labels that it predicts, because it would confirm them.
    """
    view, dataset = as_view(dataset), as_dataset(dataset)
    frame = view.frame
    with frame.steady():
        given = read_labels(frame)
        if not len(given):
            raise NotFoundError(f"dataset {dataset.name!r} {NO_LABELS}.")
        ids, sample = np.unique(given.sample, return_inverse=True)
        target = merged_into(frame)
        votes = Votes(
            sample, given.annotator, target[given.label], len(ids), len(given.names), len(target)
        )
        chosen, notes = _evidence(dataset, run) if model else (None, [])
        logits = None if chosen is None else _logits(dataset, chosen, ids, target)
        return AnnotatorConsensus(
            dataset,
            given,
            ids,
            votes,
            fit(votes, logits),
            chosen and chosen.name,
            notes,
            np.isin(ids, view.ids),
        )


def has_labels(frame: Frame) -> bool:
    """Whether the dataset has labels by annotators."""
    return bool(frame.store.count(TABLE))


def _evidence(dataset: Dataset, name: str | None) -> tuple[Run | None, list[str]]:
    """Return the run whose predictions are independent evidence, and notes."""
    if name is not None:
        run = dataset.run(name)
        if not run.has_predictions():
            raise NotFoundError(f"run {name!r} has no predictions: predict first.")
        if not is_independent(run):
            raise BadInputError(
                f"run {name!r} learned the labels that it predicts, so it confirms them: train it "
                "with folds=2 or more, use a first look, or give no run."
            )
        return run, []
    runs = [dataset.run(each) for each in reversed(dataset.runs)]
    runs = [run for run in runs if run.has_predictions()]
    found = next(filter(is_independent, runs), None)
    if found is None:
        why = "no run predicts labels that it did not learn" if runs else "there are no predictions"
        return None, [f"The annotators are used alone, because {why}; a first look would help."]
    return found, []


def is_independent(run: Run) -> bool:
    """Whether a run's predictions do not come from a model that learned the sample's label. Those
    of imported predictions are assumed not to."""
    if run.is_first_look or not run.has_model:
        recorded = run.info.get(RECORDED)
        return recorded["out_of_sample"] if recorded else True
    return run.info.get("config", {}).get("folds", 1) > 1


def _logits(dataset: Dataset, run: Run, ids: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a run's logits in the dataset's classes, float (n, C); zeros without a prediction.

    target: the class that each class counts as, int (C,). A class that the run does not know, or
    that was merged into another one, has the lowest of its logits.
    """
    columns = {name: i for i, name in enumerate(run.classes)}
    at = np.array([columns.get(name, MISSING) for name in dataset.classes])
    logits = np.zeros((len(ids), len(at)))
    for predicted, values in run.logits():
        places, known = find(ids, predicted)
        values = values[known].astype(np.float64)
        logits[places[known]] = np.where(
            at == MISSING, values.min(axis=1, keepdims=True), values[:, at]
        )
    for old in np.flatnonzero(target != np.arange(len(target))):
        logits[:, target[old]] = np.logaddexp(logits[:, target[old]], logits[:, old])
        logits[:, old] = logits.min(axis=1)
    return logits
