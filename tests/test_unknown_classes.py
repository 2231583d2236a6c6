"""Classes that a model knows and the dataset lacks: from the import to the suggestion."""

from __future__ import annotations

import numpy as np
import pytest

import labelaudit
from labelaudit.core.errors import BadInputError
from labelaudit.ranking.evidence import gather, suggestions
from labelaudit.ui.default_verdict import REMOVE, default_verdict

N = 240
KNOWN = ["cat", "dog", "ship"]
BIRDS = np.arange(0, 24)  # images of a class that the dataset lacks
SWAPPED = np.arange(24, 48)  # ordinary wrong labels


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    """A dataset with birds labelled as cat, dog or ship, and a scored run that knows birds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LABELAUDIT_HOME", str(tmp_path_factory.mktemp("home")))
        rng = np.random.default_rng(0)
        truth = rng.integers(0, 3, N)
        labels = truth.copy()
        truth[BIRDS] = 3
        labels[SWAPPED] = (truth[SWAPPED] + 1) % 3
        logits = rng.normal(0, 1, (N, 4)) + 5 * np.eye(4)[truth]
        images = rng.integers(0, 255, (N, 4, 4)).astype(np.uint8)
        dataset = labelaudit.load_arrays("animals", images, labels, classes=KNOWN)
        columns = [3, 0, 1, 2]  # the class that the dataset lacks comes first in the file
        run = labelaudit.import_predictions(
            dataset, logits[:, columns], classes=["bird", *KNOWN], out_of_sample=True
        )
        labelaudit.compute_scores(dataset, run.name)
        yield dataset, run, logits


def test_no_column_is_dropped(look):
    dataset, run, logits = look
    assert (run.classes, run.unknown_classes) == ([*KNOWN, "bird"], ["bird"])
    assert dataset.classes == KNOWN
    stored = np.concatenate([values for _, values in run.logits()])
    np.testing.assert_allclose(stored, logits, rtol=1e-6)
    assert any("does not have: bird" in note for note in run.info["notes"])


def test_an_image_of_an_unknown_class_is_suspicious_and_the_class_is_suggested(look):
    dataset, run, _ = look
    table = dataset.view(run.name).to_pandas()
    assert (table["suspicion"][BIRDS] > 0.9).all()
    assert (table["suggested"][BIRDS] == "bird").all()
    assert (table["predicted"][BIRDS] == "bird").mean() > 0.9
    assert table["suspicion"].sum() == pytest.approx(len(BIRDS) + len(SWAPPED), rel=0.1)
    others = np.setdiff1d(np.arange(N), [*BIRDS, *SWAPPED])
    assert table["suspicion"][others].mean() < 0.02


def test_every_view_of_the_suggestion_names_the_class(look):
    dataset, run, _ = look
    view = dataset.view(run.name)
    ids = view.ids[BIRDS]
    assert suggestions(dataset, run.name, ids)[0] == ["bird"] * len(BIRDS)
    found = gather(dataset, run.name, ids[:1])[0]
    assert (found.suggested, found.suggests_unknown) == ("bird", True)
    assert max(found.probabilities, key=found.probabilities.get) == "bird"
    assert "bird" in found.why
    assert default_verdict(found, is_check=False) == REMOVE
    assert set(ids) <= set(view.match(suggested=["bird"]).ids)
    assert (view.class_pairs()["predicted"] == "bird").any()
    assert (labelaudit.estimate_wrong(dataset, run.name).by_pair["suggested"] == "bird").any()


def test_a_label_cannot_be_changed_to_an_unknown_class(look):
    dataset, _, _ = look
    with pytest.raises(BadInputError, match="'bird' is not a class"):
        dataset.set_labels(dataset.view().ids[:1], "bird")
