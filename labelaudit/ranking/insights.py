"""What a run says of the dataset as a whole: which classes are mixed up, and maps of the samples.

A map shows at most POINTS samples, so that it costs the same at a million.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..dataset.arrays import MISSING
from ..dataset.runs import Run
from ..dataset.view import View

POINTS = 4000  # dots on a map; a browser draws so many at once
SHOWN_CLASSES = 20  # of a confusion matrix
PCA_ROUNDS = 8  # each takes what is not among the main directions down by their ratio, squared
PCA_SPARE = 8  # directions followed beside the two


@dataclass(frozen=True)
class Confusion:
    """Given against predicted class. `counts` int (n, n): row i is given `classes[i]`."""

    classes: list[str]
    counts: np.ndarray
    labelled: int  # samples with a label and a prediction, of all classes
    differ: int  # of these: label and prediction are not the same, of all classes


def confusion(view: View, limit: int = SHOWN_CLASSES) -> Confusion:
    """Counts of a view's samples by given and predicted class, for at most `limit` classes: those
    of the most frequent mix-ups, in class order."""
    with view.steady():
        at, names = view.positions(), view.frame.classes
        given = view.frame.label[at].astype(np.int64)
        predicted = view.fields.predictions()[at]
    C = len(names)
    both = (given != MISSING) & (predicted != MISSING)
    pairs, counts = np.unique(given[both] * C + predicted[both], return_counts=True)
    given, predicted = pairs // C, pairs % C
    wrong = given != predicted
    shown = np.arange(C)
    if limit < C:
        order = np.argsort(-counts[wrong], kind="stable")
        ranked = np.stack([given[wrong], predicted[wrong]], axis=1)[order].ravel()
        ranked, first = np.unique(np.concatenate([ranked, shown]), return_index=True)
        shown = np.sort(ranked[np.argsort(first)][:limit])
    place = np.full(C, MISSING)
    place[shown] = np.arange(len(shown))
    inside = (place[given] != MISSING) & (place[predicted] != MISSING)
    table = np.zeros((len(shown), len(shown)), np.int64)
    table[place[given[inside]], place[predicted[inside]]] = counts[inside]
    return Confusion([names[c] for c in shown], table, int(counts.sum()), int(counts[wrong].sum()))


def class_suspects(view: View, suspects: View) -> pd.DataFrame:
    """How many of each class's samples are suspects: class, samples, suspects, share (0 to 1);
    most suspects first. Classes without samples are left out."""
    samples = view.count_values("ground_truth")
    counts = suspects.count_values("ground_truth")
    table = pd.DataFrame({"class": list(samples), "samples": list(samples.values())})
    table["suspects"] = table["class"].map(counts).astype(int)
    table = table[table["samples"] > 0].assign(share=lambda t: t["suspects"] / t["samples"])
    return table.sort_values("suspects", ascending=False, kind="stable").reset_index(drop=True)


def choose_points(view: View, suspects: View, limit: int = POINTS, seed: int = 0) -> np.ndarray:
    """Sorted ids of at most `limit` of a view's samples, int64; always the same ones.

    Where there are more, suspects make up to half of them: drawn evenly they would be too few.
    """
    rng = np.random.default_rng(seed)
    with view.steady():
        at, ids = view.positions(), view.frame.ids
        if len(at) <= limit:
            return np.sort(ids[at])
        marked = np.zeros(len(ids), bool)
        marked[suspects.positions()] = True
    marked = marked[at]
    suspicious, others = at[marked], at[~marked]
    half = max(limit // 2, limit - len(others))
    some = [suspicious[rng.permutation(len(suspicious))[:half]]]
    some.append(others[rng.permutation(len(others))[: limit - len(some[0])]])
    return np.sort(ids[np.concatenate(some)])


def dynamics_map(run: Run, ids: np.ndarray) -> pd.DataFrame | None:
    """Where samples lie on the data map: id, x the standard deviation of p(given class) over the
    epochs, y its mean. Samples without dynamics are left out; None for a run without any.

    Source: Swayamdipta et al. 2020, "Dataset Cartography": variability and confidence.
    """
    dynamics = run.dynamics_of(ids)
    if dynamics is None:
        return None
    recorded = np.isfinite(dynamics.p_label).any(axis=0)
    p = dynamics.p_label[:, recorded].astype(np.float64)
    return pd.DataFrame(
        {"id": ids[recorded], "x": np.nanstd(p, axis=0), "y": np.nanmean(p, axis=0)}
    )


def embedding_map(run: Run, ids: np.ndarray, umap: bool = False) -> pd.DataFrame | None:
    """The samples' embeddings in the plane: id, x, y. Those without one are left out; None for a
    run without any, or with fewer than three.

    Embeddings are brought to length 1, as only their direction says what an image looks like. PCA,
    or with `umap` UMAP (if it is installed: see `has_umap`), which takes half a minute.
    """
    vectors = run.embeddings(ids)
    if vectors is None:
        return None
    vectors = vectors.astype(np.float32)
    length = np.linalg.norm(vectors, axis=1)
    there = np.isfinite(length) & (length > 0)
    if there.sum() < 3:
        return None
    directions = vectors[there] / length[there, None]
    plane = _umap(directions) if umap else principal_plane(directions)
    return pd.DataFrame({"id": ids[there], "x": plane[:, 0], "y": plane[:, 1]})


def has_umap() -> bool:
    return importlib.util.find_spec("umap") is not None


def _umap(vectors: np.ndarray) -> np.ndarray:
    from umap import UMAP

    neighbours = min(15, len(vectors) - 1)
    return UMAP(n_neighbors=neighbours, metric="cosine", random_state=0).fit_transform(vectors)


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """The first two principal components of (n, d), float64 (n, 2), by subspace iteration: quick
    for any d, and without scikit-learn, which takes a second to import."""
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    width = min(2 + PCA_SPARE, *centred.shape)
    basis = np.random.default_rng(0).normal(size=(centred.shape[1], width))
    for _ in range(PCA_ROUNDS):
        basis, _ = np.linalg.qr(centred.T @ (centred @ basis))
    left, size, _ = np.linalg.svd(centred @ basis, full_matrices=False)
    plane = np.zeros((len(centred), 2))
    plane[:, : min(2, width)] = (left * size)[:, :2]
    return plane


def describe_points(view: View, points: pd.DataFrame, suspects: View) -> pd.DataFrame:
    """The points with what is known of their samples: given, predicted, suspect, and each score."""
    some = view.select(points["id"]).sort_by("id")
    with view.steady():
        columns = {"given": some.values("ground_truth"), "predicted": some.values("prediction")}
        columns["suspect"] = np.isin(some.ids, suspects.ids)
        columns |= {name: some.values(name) for name in view.score_names()}
    return points.assign(**columns)
