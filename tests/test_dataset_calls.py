"""A dataset is read like a view of all its samples; names of other libraries are explained."""

import numpy as np
import pytest

import labelaudit
from labelaudit import F
from labelaudit.core.errors import BadInputError, NotFoundError


@pytest.fixture
def dataset(make_dataset):
    """Eight samples, ids 1 to 8, of classes c0 to c3, with an own field."""
    made = make_dataset(8, width=[10, 20, 30, 40, 50, 60, 70, None])
    made.add_field("age", "number")
    made.set_values("age", range(1, 5), [3, 1, 4, 1])
    made.tag([2, 4], "odd")
    return made


@pytest.mark.parametrize(
    ("call", "ids"),
    [
        (lambda d: d.match_tag("odd"), [2, 4]),
        (lambda d: d.exclude_tag("odd").limit(2), [1, 3]),
        (lambda d: d.match(label="c1"), [2, 6]),
        (lambda d: d.match(F("age") > 1, split=None), [1, 3]),
        (lambda d: d.above("age", 3), [3]),
        (lambda d: d.between("width", 20, 30), [2, 3]),
        (lambda d: d.search("/3.png"), [4]),
        (lambda d: d.select([3, 2]), [2, 3]),
        (lambda d: d.select(d.values("age") == 1), [2, 4]),
        (lambda d: d.exclude([1, 3, 4, 5]), [2, 6, 7, 8]),
        (lambda d: d.sort_by("age", reverse=True).limit(2), [3, 1]),
        (lambda d: d.skip(6), [7, 8]),
        (lambda d: d[2:4], [3, 4]),
        (lambda d: d.match_tag("odd") + d.limit(3), [2, 4, 1, 3]),
        (lambda d: d.match_tag("odd") | d.view().skip(7), [2, 4, 8]),
        (lambda d: d.match_tag("odd") | d, [2, 4, 1, 3, 5, 6, 7, 8]),
        (lambda d: (d.skip(6) + d).limit(3), [7, 8, 1]),
        (lambda d: d.limit(1).concat(d.sort_by("id", reverse=True)).limit(3), [1, 8, 7]),
    ],
)
def test_a_dataset_is_chosen_from_like_a_view(dataset, call, ids):
    view = call(dataset)
    assert view.ids.tolist() == ids
    dataset.save_view("kept", view)
    assert labelaudit.Dataset("plain").load_view("kept").ids.tolist() == ids
    assert repr(view).startswith(f"View('plain': {len(ids)} of 8 samples, ")


def test_a_dataset_is_read_like_a_view(dataset):
    view = dataset.view()
    assert dataset.ids.tolist() == view.ids.tolist()
    assert (dataset.first(), dataset.last()) == (view.first(), view.last())
    assert dataset.head(2) == view.head(2)
    assert [sample.id for sample in dataset.samples([3, 1])] == [3, 1]
    assert dataset.count_values("tags") == {"odd": 2}
    assert dataset.to_pandas().equals(view.to_pandas())
    assert [len(part) for part in dataset.chunks(5)] == [5, 3]
    assert sorted(dataset.shuffle().ids) == list(range(1, 9))
    assert dataset.shuffle(3).ids.tolist() == view.shuffle(3).ids.tolist() != view.ids.tolist()
    assert dataset.take(5, seed=3).ids.tolist() == dataset.sample(5, seed=3).ids.tolist()
    with pytest.raises(BadInputError, match=r"take\(\[1, 2\]\)"):
        dataset.take([1, 2])


def test_values_are_summarised(dataset):
    assert dataset.distinct("ground_truth") == ["c0", "c1", "c2", "c3"]
    assert dataset.match(label="c1").distinct("ground_truth") == ["c1"]
    assert dataset.distinct("tags") == ["odd"]
    assert dataset.limit(1).distinct("tags") == []
    assert dataset.distinct("age") == [1, 3, 4]
    assert dataset.bounds("age") == (1, 4)
    assert (dataset.mean("age"), dataset.sum("age")) == (2.25, 9)
    assert dataset.mean(F("width") / 10) == 4
    assert dataset.skip(6).bounds("age") == (None, None)
    assert dataset.skip(6).mean("age") is None
    for call in (dataset.bounds, dataset.mean, dataset.sum):
        with pytest.raises(BadInputError, match="does not hold numbers"):
            call("ground_truth")


def test_views_of_other_datasets_and_runs_are_not_joined(dataset, make_dataset):
    other = make_dataset(3, name="other")
    for wrong in (other.view(), [1, 2], None):
        with pytest.raises(BadInputError, match="no view of dataset 'plain'"):
            dataset.concat(wrong)
    dataset.add_predictions([1], np.eye(4)[:1] * 3, "net")
    with pytest.raises(BadInputError, match="give both the same run"):
        dataset.view("net").concat(dataset.view())


@pytest.mark.parametrize(
    ("owner", "name", "says"),
    [
        ("dataset", "match_tags", r'match_tag\("x"\)'),
        ("dataset", "add_sample_field", "dataset.add_field"),
        ("dataset", "get_field_schema", "use dataset.fields"),
        ("dataset", "load_saved_view", "dataset.load_view"),
        ("dataset", "delete_samples", '"removed"'),
        ("dataset", "compute_metadata", "it is not needed: "),
        ("dataset", "evaluate_classifications", "class_pairs"),
        ("view", "tag_samples", "view.tag"),
        ("view", "group_by", "distinct"),
        ("view", "match_labels", "one label"),
        ("view", "sort_by_similarity", "find_duplicates"),
        ("sample", "to_dict", r"dict\(sample\)"),
        ("sample", "logits", "sample.prediction.logits"),
        ("tags", "append", "sample.tag"),
        ("field", "is_in", "isin"),
        ("module", "load_zoo_dataset", "load_dataset"),
        ("module", "Datalab", "labelaudit.audit"),
        ("module", "dataset_exists", "list_datasets"),
    ],
)
def test_names_of_other_libraries_are_explained(dataset, owner, name, says):
    owners = {"dataset": dataset, "view": dataset.view(), "sample": dataset[1],
              "tags": dataset[1].tags, "field": F("age"), "module": labelaudit}  # fmt: skip
    with pytest.raises(AttributeError, match=f"{name}'.*{says}"):
        getattr(owners[owner], name)
    assert not hasattr(owners[owner], "no_such_name")
    assert not hasattr(owners[owner], "_repr_html_")


def test_a_sample_is_read_like_a_mapping(dataset):
    sample = dataset[2]
    assert "age" in sample
    assert "ground_truth" in sample
    assert "beauty" not in sample
    found = dict(sample)
    assert (found["id"], found["age"], found["tags"]) == (2, 1.0, ("odd",))
    with pytest.raises(BadInputError, match=r"such as \['new'\]"):
        sample.tags += "new"
    sample.tags += ["new"]
    assert dataset[2].tags == ("new", "odd")


def test_a_deleted_dataset_does_not_look_empty(dataset):
    view, sample = dataset.match_tag("odd"), dataset[1]
    assert len(view) == 2
    labelaudit.delete_dataset("plain")
    for read in (
        lambda: len(dataset),
        lambda: len(view),
        lambda: list(dataset),
        lambda: view.ids,
        lambda: dataset.values("width"),
        lambda: dataset.count_values("tags"),
        lambda: dataset.runs,
        lambda: dataset.saved_views,
        lambda: dataset.tag([1], "x"),
        lambda: dataset.add_field("new", "text"),
        lambda: dataset.add_samples([{"filepath": "/x.png"}]),
        lambda: sample.tag("x"),
        lambda: sample.width,
        lambda: labelaudit.list_changes(dataset),
    ):
        with pytest.raises(NotFoundError, match="'plain' has been deleted"):
            read()
    assert "has been deleted" in repr(dataset)
    assert "has been deleted" in repr(view)
    assert labelaudit.list_datasets() == []
