"""The labels of a dataset by annotator: one table, which is small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..dataset.arrays import find
from ..dataset.columns import Frame
from ..storage import schema

TABLE = "annotator-labels"


@dataclass(frozen=True)
class AnnotatorLabels:
    """sample: ids, int64 (m,). annotator: indices into `names`, int (m,). label: class indices of
    the dataset, int32 (m,)."""

    sample: np.ndarray
    annotator: np.ndarray
    label: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.sample)


def read_labels(frame: Frame) -> AnnotatorLabels:
    """Return the labels of samples that exist, by sample. They are cached."""

    def load() -> AnnotatorLabels:
        rows = frame.read(TABLE, ["sample", "annotator", "label"])
        if rows is None:
            none = np.empty(0, np.int64)
            return AnnotatorLabels(none, none, none, [])
        coded = rows["annotator"].combine_chunks().dictionary_encode()
        samples, codes = rows["sample"].to_numpy(), coded.indices.to_numpy()
        known = find(frame.ids, samples)[1]
        labels = rows["label"].to_numpy()
        names = coded.dictionary.to_pylist()
        return AnnotatorLabels(samples[known], codes[known], labels[known], names)

    with frame.steady():
        stamp = frame.stamp(TABLE), frame.stamp("annotations")
        return frame.cached((TABLE,), stamp, load)


def write_labels(frame: Frame, samples: np.ndarray, names: np.ndarray, labels: np.ndarray) -> None:
    """Replace all labels. samples: int64 (m,). names: of annotators, objects (m,). labels: int
    (m,)."""
    order = np.argsort(samples, kind="stable")
    rows = pa.table(
        [
            pa.array(np.arange(1, len(order) + 1)),
            pa.array(samples[order], pa.int64()),
            pa.array(names[order], pa.string()),
            pa.array(labels[order], pa.int32()),
        ],
        schema=schema.ANNOTATOR_LABELS,
    )
    frame.store.overwrite(TABLE, rows, schema.ANNOTATOR_LABELS)
