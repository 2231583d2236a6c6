"""Outliers, and issues of image quality."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

import labelaudit
from labelaudit import write_suspects
from labelaudit.core.errors import BadInputError, NotFoundError, StoppedError
from labelaudit.core.progress import Task
from labelaudit.dataset.image_issues import ISSUES, image_issues
from labelaudit.features.quality import measure_quality
from labelaudit.pipeline import take_first_look
from labelaudit.ranking.evidence import gather
from labelaudit.scores.outlier import FAR, outlier


@pytest.fixture
def photographs(home):
    """40 coloured images: sample 1 is dark, 2 white, 3 blurred and 4 grey."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (40, 32, 32, 3), np.uint8)
    images[0] //= 16
    images[1] = 250 + images[1] // 64
    images[2] = np.linspace(0, 200, 32, dtype=np.uint8)[None, :, None] + [0, 20, 40]
    images[3] = images[3, :, :, :1]
    dataset = labelaudit.load_arrays("photographs", images, [f"c{i % 4}" for i in range(40)])
    logits = np.full((40, 4), -2.0, np.float32)
    logits[np.arange(40), np.arange(40) % 4] = 2.0
    labelaudit.import_predictions(dataset, logits, "mine", kind="logits")
    labelaudit.compute_scores(dataset)
    return dataset


def test_image_issues_are_a_filter_a_column_and_evidence(photographs):
    view = photographs.view()
    assert image_issues(view.frame) == {}
    with pytest.raises(NotFoundError, match="was not measured"):
        len(view.match(image_issue="dark"))
    assert "image_issues" not in view.to_pandas()
    measure_quality(view.frame, view.ids)
    assert 3 in view.match(image_issue="blurred").ids
    for name, sample in (("dark", 1), ("bright", 2), ("grey", 4)):
        assert view.match(image_issue=name).ids.tolist() == [sample], name
    assert view.match(image_issue=["dark", "grey"]).ids.tolist() == [1, 4]
    buffer = io.BytesIO()
    write_suspects(view, buffer)
    buffer.seek(0)
    table = pd.read_csv(buffer, keep_default_na=False)
    assert table["image_issues"][0].split(";") == ["dark"]
    assert table["image_issues"][3] == "grey"
    assert table["image_issues"][5] == ""
    dark, plain = gather(photographs, "mine", [1, 7])
    assert dark.image_issues == ["dark"]
    assert dark.why.endswith("Image quality: dark.")
    assert plain.image_issues == []
    with pytest.raises(BadInputError, match=r"'ugly' is not an image issue: the issues are dark"):
        view.match(image_issue="ugly")


def test_an_issue_of_most_images_is_a_property_of_the_dataset(home):
    images = np.zeros((10, 16, 16, 3), np.uint8)
    dataset = labelaudit.load_arrays("black", images, ["a", "b"] * 5)
    frame = dataset.view().frame
    measure_quality(frame, frame.ids)
    found = image_issues(frame)
    assert found.keys() == ISSUES.keys()
    assert not any(mask.any() for mask in found.values())


def test_measuring_can_be_stopped_and_continues(photographs):
    frame = photographs.view().frame
    with pytest.raises(StoppedError):
        measure_quality(frame, frame.ids, Task(stop=lambda: True))
    measure_quality(frame, frame.ids[:10])
    measure_quality(frame, frame.ids)
    assert np.isfinite(frame.number("quality", "entropy", float("nan"))).all()


def test_outliers_are_relative_to_the_class_of_their_neighbours():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    near = np.repeat(labels[:, None], 12, axis=1)
    # the images of class 1 are less alike than those of class 0
    distance = np.exp(rng.normal(np.where(labels == 0, -4, -1.5), 0.1)[:, None]) * np.ones(12)
    distance[0] = np.exp(-1.5)  # usual for class 1, not for class 0
    scores = outlier(labels, near, distance)
    assert np.flatnonzero(scores > FAR).tolist() == [0]
    np.testing.assert_array_equal(scores, outlier(np.full(200, -1), near, distance))
    distance[5] = np.nan
    assert np.isnan(outlier(labels, near, distance)).nonzero()[0].tolist() == [5]


def test_images_of_another_kind_are_outliers_of_a_first_look(home):
    """Their components are long, in the usual directions: cosines do not show it."""
    rng = np.random.default_rng(0)
    images = rng.integers(100, 130, (200, 12, 12), np.uint8)
    images[np.arange(200) % 2 == 0, :6] += 60
    images[:3] = rng.integers(0, 255, (3, 12, 12), np.uint8)
    dataset = labelaudit.load_arrays("kinds", images, [f"c{i % 2}" for i in range(200)])
    take_first_look(dataset)
    scores = dataset.view().values("outlier")
    assert set(np.argsort(-scores)[:3]) == {0, 1, 2}
    assert (scores[:3] > FAR).all()
    buffer = io.BytesIO()
    write_suspects(dataset.view(), buffer)
    buffer.seek(0)
    table = pd.read_csv(buffer).set_index("id")
    assert (table.finding[dataset.view().ids[:3]] == "outlier").all()
    assert (table.outlier[dataset.view().ids[:3]] > FAR).all()
