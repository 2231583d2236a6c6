"""Consensus of several annotators: a vote, Dawid-Skene with and without a model, and CROWDLAB.

Simulated: 2,000 samples of 10 classes; five annotators are right in 90, 85, 75, 60 and 30 % and
err uniformly; three of them label each sample. `PYTHONPATH=. python benchmarks/annotators.py`
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from labelaudit.annotators.dawid_skene import Votes, fit

SAMPLES, CLASSES, PER_SAMPLE = 2_000, 10, 3
SKILLS = np.array([0.9, 0.85, 0.75, 0.6, 0.3])
MODEL = 3.0  # the logit of the true class is so much higher, with deviation 1: right in 90 %


def simulate(seed: int) -> tuple[np.ndarray, Votes, np.ndarray]:
    """Return true classes, votes and a model's logits."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, SAMPLES)
    sample = np.repeat(np.arange(SAMPLES), PER_SAMPLE)
    chosen = [rng.permutation(len(SKILLS))[:PER_SAMPLE] for _ in range(SAMPLES)]
    annotator = np.concatenate(chosen)
    right = rng.random(len(sample)) < SKILLS[annotator]
    wrong = (truth[sample] + 1 + rng.integers(0, CLASSES - 1, len(sample))) % CLASSES
    label = np.where(right, truth[sample], wrong)
    logits = rng.normal(size=(SAMPLES, CLASSES))
    logits[np.arange(SAMPLES), truth] += MODEL
    return truth, Votes(sample, annotator, label, SAMPLES, len(SKILLS), CLASSES), logits


def crowdlab(votes: Votes, logits: np.ndarray) -> np.ndarray:
    """Return cleanlab's consensus, int (n,)."""
    from cleanlab.multiannotator import get_label_quality_multiannotator

    given = np.full((votes.samples, votes.annotators), np.nan)
    given[votes.sample, votes.annotator] = votes.label
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    found = get_label_quality_multiannotator(pd.DataFrame(given), p, verbose=False)
    return found["label_quality"]["consensus_label"].to_numpy()


def main() -> None:
    rows = []
    for seed in range(3):
        truth, votes, logits = simulate(seed)
        counts = np.zeros((SAMPLES, CLASSES))
        np.add.at(counts, (votes.sample, votes.label), 1)
        counts += 0.1 * np.random.default_rng(0).random(counts.shape)  # ties are broken by chance
        started = time.process_time()
        with_model = fit(votes, logits)
        seconds = time.process_time() - started
        quality = np.bincount(votes.annotator, with_model.posterior[votes.sample, votes.label])
        found = {
            "vote": counts.argmax(1),
            "model": logits.argmax(1),
            "annotators": fit(votes).posterior.argmax(1),
            "annotators and model": with_model.posterior.argmax(1),
            "CROWDLAB": crowdlab(votes, logits),
        }
        row = {name: f"{(label == truth).mean():.3f}" for name, label in found.items()}
        row["quality"] = " ".join(f"{q:.2f}" for q in quality / np.bincount(votes.annotator))
        rows.append({"seed": seed, **row, "CPU-s": f"{seconds:.2f}"})
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
