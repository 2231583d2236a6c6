"""Insights into a whole dataset: confused classes, suspects per class, and maps of the samples.

A map shows at most POINTS samples (UMAP_POINTS with UMAP), so that its cost does not grow with the
dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..dataset.arrays import MISSING
from ..dataset.runs import Run
from ..dataset.view import View
from . import umap_plane

POINTS = 100_000  # on a map; a browser paints so many in a tenth of a second
UMAP_POINTS = 10_000  # UMAP takes a minute for them
SHOWN_CLASSES = 20  # in a confusion matrix
FITTED = 10_000  # points to which the axes of a map are fitted
COVARIANCE_DIMENSIONS = 2000  # longer vectors take the randomized solver


@dataclass(frozen=True)
class Confusion:
    """Counts of given and predicted class. Row i of `counts`, int (n, n), is given `classes[i]`."""

    classes: list[str]
    counts: np.ndarray
    labelled: int  # samples of all classes with a label and a prediction
    differ: int  # those with a prediction other than the label


def confusion(view: View, limit: int = SHOWN_CLASSES) -> Confusion:
    """Count a view's samples by given and predicted class.

    limit: the largest number of classes. Those in the most frequent confusions are chosen, and
    returned in class order.
    """
    with view.steady():
        at, names = view.positions(), view.fields.classes
        given = view.frame.label[at].astype(np.int64)
        predicted = view.fields.predictions()[at]
    C = len(names)
    both = (given != MISSING) & (predicted != MISSING)
    pairs, counts = np.unique(given[both] * C + predicted[both], return_counts=True)
    given, predicted = pairs // C, pairs % C
    wrong = given != predicted
    confused = np.stack([given[wrong], predicted[wrong]], axis=1)
    shown = _most_confused(confused, counts[wrong], C, limit)
    place = np.full(C, MISSING)
    place[shown] = np.arange(len(shown))
    inside = (place[given] != MISSING) & (place[predicted] != MISSING)
    table = np.zeros((len(shown), len(shown)), np.int64)
    table[place[given[inside]], place[predicted[inside]]] = counts[inside]
    return Confusion([names[c] for c in shown], table, int(counts.sum()), int(counts[wrong].sum()))


def _most_confused(pairs: np.ndarray, counts: np.ndarray, classes: int, limit: int) -> np.ndarray:
    """Return at most `limit` sorted class indices, those of the most frequent pairs (m, 2)."""
    every = np.arange(classes)
    if limit >= classes:
        return every
    ranked = pairs[np.argsort(-counts, kind="stable")].ravel()
    ranked, first = np.unique(np.concatenate([ranked, every]), return_index=True)
    return np.sort(ranked[np.argsort(first)][:limit])


def class_suspects(view: View, suspects: View) -> pd.DataFrame:
    """Count the suspects of each class, most suspects first.

    Columns: class, samples, suspects, share (0 to 1). Classes without samples are left out.
    """
    samples = view.count_values("ground_truth")
    counts = suspects.count_values("ground_truth")
    table = pd.DataFrame({"class": list(samples), "samples": list(samples.values())})
    table["suspects"] = table["class"].map(counts).astype(int)
    table = table[table["samples"] > 0].assign(share=lambda t: t["suspects"] / t["samples"])
    return table.sort_values("suspects", ascending=False, kind="stable").reset_index(drop=True)


def choose_points(view: View, suspects: View, limit: int = POINTS, seed: int = 0) -> np.ndarray:
    """Return sorted ids of at most `limit` of a view's samples, int64, always the same ones.

    From a larger view up to half of them are suspects; an even draw would hold too few.
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
    first = suspicious[rng.permutation(len(suspicious))[:half]]
    second = others[rng.permutation(len(others))[: limit - len(first)]]
    return np.sort(ids[np.concatenate([first, second])])


def dynamics_map(run: Run, ids: np.ndarray) -> pd.DataFrame | None:
    """Return the positions of samples on the data map.

    Columns: id; x, the standard deviation of p(given class) over the epochs; y, its mean. Samples
    without training dynamics are left out. None for a run without any.
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


def embedding_map(
    run: Run, ids: np.ndarray, project: Callable[[np.ndarray], np.ndarray] | None = None
) -> pd.DataFrame | None:
    """Project the samples' embeddings to the plane. Columns: id, x, y.

    Samples without an embedding are left out. None for fewer than three embeddings.
    Embeddings are normalised first, because only their direction describes an image. project: maps
    float32 (n, d) to (n, 2), such as `umap_plane`; by default, and for few samples, it is PCA.
    """
    vectors = run.embeddings(ids)
    if vectors is None:
        return None
    usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    if usable.sum() < 3:
        return None
    directions = vectors[usable].astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    if project is None or len(directions) < umap_plane.FEWEST:
        project = principal_plane
    plane = project(directions)
    return pd.DataFrame({"id": ids[usable], "x": plane[:, 0], "y": plane[:, 1]})


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Return the first two principal components of (n, d), float (n, 2); of more than FITTED rows
    the axes are fitted to a part."""
    from sklearn.decomposition import PCA  # takes a second to import

    some = vectors[:: -(-len(vectors) // FITTED)]
    count = min(2, *some.shape)
    # covariances need d^2 memory; a randomized solver serves long vectors and is repeatable
    solver = "randomized" if vectors.shape[1] > COVARIANCE_DIMENSIONS else "covariance_eigh"
    plane = np.zeros((len(vectors), 2))
    mean = some.mean(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):  # identical vectors have no variance to explain
        axes = PCA(count, svd_solver=solver, random_state=0).fit(some - mean).components_.T
    plane[:, :count] = vectors @ axes.astype(np.float32) - mean @ axes
    return plane


def describe_points(view: View, points: pd.DataFrame, suspects: View) -> pd.DataFrame:
    """Return the points with further columns: given, predicted, suspect and each score."""
    selected = view.select(points["id"]).sort_by("id")
    with view.steady():
        columns = {
            "given": selected.values("ground_truth"),
            "predicted": selected.values("prediction"),
        }
        columns["suspect"] = np.isin(selected.ids, suspects.ids)
        columns |= {name: selected.values(name) for name in view.score_names()}
    return points.assign(**columns)
