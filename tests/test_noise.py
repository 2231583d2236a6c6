from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labelaudit
from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.dataset import Dataset
from labelaudit.dataset.noise import MISTAKE, corrupt, inject, restore, still_wrong


@st.composite
def corruptions(draw):
    classes = draw(st.integers(2, 7))
    labels = draw(st.lists(st.integers(-1, classes - 1), min_size=1, max_size=60))
    kind = draw(st.sampled_from(["uniform", "pair", "confusion"]))
    options = {"kind": kind, "rate": draw(st.floats(0, 1)), "seed": draw(st.integers(0, 99))}
    if kind == "confusion":
        options["confusion"] = np.full((classes, classes), 0.5)
    if kind == "pair" and draw(st.booleans()):
        options["pair"] = (0, classes - 1)
    return np.array(labels), classes, options


@given(corruptions())
def test_exactly_the_rate_changes_and_never_to_its_own_class(case):
    labels, classes, options = case
    at, new = corrupt(labels, classes, **options)
    can_change = labels >= 0
    if "pair" in options:
        can_change = np.isin(labels, options["pair"])
    assert len(at) == round(options["rate"] * can_change.sum())
    assert len(np.unique(at)) == len(at)
    assert can_change[at].all()
    assert (new != labels[at]).all()
    assert ((new >= 0) & (new < classes)).all()
    if "pair" in options:
        assert np.isin(new, options["pair"]).all()
    elif options["kind"] == "pair":
        np.testing.assert_array_equal(new, (labels[at] + 1) % classes)
    again = corrupt(labels, classes, **options)
    np.testing.assert_array_equal(again[0], at)
    np.testing.assert_array_equal(again[1], new)


def test_uniform_noise_uses_every_wrong_class_alike():
    _, new = corrupt(np.zeros(30_000, int), 4, 1.0, "uniform", seed=1)
    counts = np.bincount(new, minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:], 10_000, rtol=0.05)


def test_confusion_follows_the_matrix():
    matrix = np.array([[0.9, 0.1, 0.0], [0, 1, 0], [0.2, 0.6, 0.2]])
    labels = np.repeat([0, 1, 2], 40_000)
    at, new = corrupt(labels, 3, 0.02, "confusion", seed=3, confusion=matrix)
    assert len(at) == 2400
    assert not (labels[at] == 1).any()
    assert set(new[labels[at] == 0]) == {1}
    two = new[labels[at] == 2]
    assert (two == 1).mean() == pytest.approx(0.75, abs=0.04)
    # class 2 is confused eight times as often as class 0
    assert len(two) / (labels[at] == 0).sum() == pytest.approx(8, rel=0.3)


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 5))
def test_restored_exactly_whatever_was_done_before(tmp_path_factory, rate, second, seed):
    from labelaudit.dataset.dataset import create_dataset

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABELAUDIT_HOME", str(tmp_path_factory.mktemp("home")))
        rows = {"filepath": [f"/{i}" for i in range(40)], "label": [f"c{i % 3}" for i in range(40)]}
        dataset = create_dataset("d", rows)
        dataset.set_labels([3, 4], "c2")  # a reviewer's change is not noise
        dataset.tag([5], "seen")
        before = dataset.view().to_pandas()
        inject(dataset, rate, seed=seed)
        inject(dataset.view().match(label="c1"), second, "pair", seed=seed)
        restore(dataset)
        assert dataset.view().to_pandas().equals(before)
        assert dataset.info["noise"] is None


def test_merged_classes_are_never_drawn(make_dataset):
    dataset = make_dataset(60)
    labelaudit.change_classes(dataset, labelaudit.plan_classes(dataset, merge={"c1": "c0"}))
    matrix = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    for options in ({}, {"kind": "pair"}, {"kind": "confusion", "confusion": matrix}):
        inject(dataset, 1.0, **options)
        assert dataset.view().count_values("ground_truth")["c1"] == 0
        view = dataset.view()
        assert (view.values("ground_truth") != view.values("original_label")).all()
    assert inject(dataset, 0.5, "pair", pair=("c0", "c3")).eligible == 45
    with pytest.raises(LabelAuditError, match="'c1' and 'c0' are not two different classes"):
        inject(dataset, 0.5, "pair", pair=("c1", "c0"))
    restore(dataset)
    assert dataset.view().count_values("ground_truth") == {"c0": 30, "c1": 0, "c2": 15, "c3": 15}


def test_what_is_stored(make_dataset):
    dataset = make_dataset(100)
    before = dataset.view().values("ground_truth")
    report = inject(dataset, 0.25, seed=7)
    assert (report.changed, report.eligible) == (25, 100)
    mistakes = Dataset(dataset.name).view().match_tag(MISTAKE)  # as another process would see it
    assert len(mistakes) == 25
    np.testing.assert_array_equal(dataset.view().values("original_label"), before)
    assert (mistakes.values("original_label") != mistakes.values("ground_truth")).all()
    changed = dataset.view().values("ground_truth") != before
    np.testing.assert_array_equal(dataset.view().ids[changed], mistakes.ids)
    assert dataset.info["noise"]["rate"] == 0.25


def test_repeating_with_the_same_seed_gives_the_same_labels(make_dataset):
    dataset = make_dataset(60)
    inject(dataset, 0.3, seed=1)
    first = dataset.view().values("ground_truth")
    inject(dataset, 0.3, seed=2)
    assert (dataset.view().values("ground_truth") != first).any()
    inject(dataset, 0.3, seed=1)
    np.testing.assert_array_equal(dataset.view().values("ground_truth"), first)
    assert len(dataset.view().match_tag(MISTAKE)) == 18


def test_a_view_is_all_that_is_touched(make_dataset):
    dataset = make_dataset(40)
    inject(dataset.view().match(label="c0"), 1.0)
    assert dataset.view().match_tag(MISTAKE).count_values("original_label") == {
        "c0": 10, "c1": 0, "c2": 0, "c3": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rate": 1.2}, "1.2"),
        ({"rate": -0.1}, "between 0 and 1"),
        ({"rate": float("nan")}, "nan"),
        ({"rate": 0.1, "kind": "salt"}, "salt"),
        ({"rate": 0.1, "kind": "pair", "pair": ("c0", "cow")}, "cow"),
        ({"rate": 0.1, "kind": "pair", "pair": ("c0", "c0")}, "different"),
        ({"rate": 0.1, "pair": ("c0", "c1")}, "uniform"),
        ({"rate": 0.1, "kind": "confusion"}, "needs a confusion matrix"),
        ({"rate": 0.1, "kind": "confusion", "confusion": np.eye(3)}, "(4, 4)"),
        ({"rate": 0.9, "kind": "confusion", "confusion": np.eye(4, k=3)}, "allows only 25"),
        ({"rate": 0.1, "kind": "confusion", "confusion": -np.ones((4, 4))}, "negative"),
    ],
)
def test_bad_input_changes_nothing_and_says_what_is_wrong(make_dataset, options, says):
    dataset = make_dataset(100)
    before = dataset.view().to_pandas()
    with pytest.raises(LabelAuditError) as caught:
        inject(dataset, **options)
    assert says in str(caught.value)
    assert dataset.view().to_pandas().equals(before)


def test_one_class_cannot_be_confused(make_dataset):
    with pytest.raises(LabelAuditError, match="two classes"):
        inject(make_dataset(10, classes=1), 0.5)


def test_samples_without_a_label_stay_without(make_dataset):
    dataset = make_dataset(20)
    dataset.set_labels([1, 2, 3], None)
    report = inject(dataset, 1.0)
    assert report.eligible == 17
    assert [dataset[i].ground_truth for i in (1, 2, 3)] == [None] * 3


def test_mistakes_that_were_corrected_are_not_wrong_any_more(make_dataset):
    dataset = make_dataset(40, 4)
    for sample in dataset.view().limit(20):
        dataset.set_labels([sample.id], "c3")
    assert still_wrong(dataset) == 0  # relabelled, but no planted mistakes
    before = dict(zip(dataset.view().ids, dataset.view().values("ground_truth"), strict=True))
    inject(dataset, 0.5)
    assert still_wrong(dataset) == 20
    first, second = dataset.view().match_tag(MISTAKE).limit(2)
    dataset.set_labels([first.id], before[first.id])
    assert still_wrong(dataset) == 19
    other = set(dataset.classes) - {before[second.id], second.ground_truth}
    dataset.set_labels([second.id], min(other))
    assert still_wrong(dataset) == 19  # relabelled, and wrong again
    restore(dataset)
    assert still_wrong(dataset) == 0
