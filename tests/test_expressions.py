"""Conditions on any field, slices, masks, saved views, and what views and samples look like."""

import json
from fractions import Fraction

import numpy as np
import pytest

import labelaudit
from labelaudit import F
from labelaudit.core.errors import BadInputError, LabelAuditError, NotFoundError


@pytest.fixture
def dataset(make_dataset):
    """Eight samples with own fields: ids 1 to 8, classes c0 to c3."""
    made = make_dataset(8, width=[10, 20, 30, 40, 50, 60, 70, None])
    for name, kind in {"age": "number", "human": "label", "ok": "bool", "day": "date",
                       "note": "text"}.items():  # fmt: skip
        made.add_field(name, kind)
    made.set_values("age", range(1, 8), [3, 1, 4, 1, 5, 9, 2])
    made.set_values("human", range(1, 7), ["c0", "c0", "c2", "c2", "c0", "c1"])
    made.set_values("ok", [1, 2, 3], [True, False, True])
    made.set_values("day", [1, 2, 3], ["2026-01-01", "2026-02-01T10:00", "2026-03-01"])
    made.set_values("note", [1, 2, 3], ["red car", "blue", "red"])
    made.tag([2, 4], "odd")
    return made


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (F("width") < 30, [1, 2]),
        (F("width") <= 30, [1, 2, 3]),
        (F("age") == 1, [2, 4]),
        (F("age") != 1, [1, 3, 5, 6, 7]),
        (~(F("age") == 1), [1, 3, 5, 6, 7, 8]),
        (F("age") == None, [8]),  # noqa: E711
        (F("age").isin([np.int64(1), 9]), [2, 4, 6]),
        (F("id") > 6, [7, 8]),
        (F("age") > F("id"), [1, 3, 6]),
        (F("age").is_null() | (F("age") > 4), [5, 6, 8]),
        ((F("human") != F("ground_truth")) & ~F("tags").contains("odd"), []),
        (F("human") != F("ground_truth"), [2, 4]),
        (F("human") == F("original_label"), [1, 3, 5, 6]),
        (F("label") == "c0", [1, 5]),
        (F("ground_truth").isin(["c0", "c1"]), [1, 2, 5, 6]),
        (F("human") != "c0", [3, 4, 6]),
        (F("ok") == True, [1, 3]),  # noqa: E712
        (F("day") >= "2026-02-01", [2, 3]),
        (F("day") < np.datetime64("2026-02-01T10:00"), [1]),
        (F("note").contains("red"), [1, 3]),
        (F("note").starts_with("red") & F("note").ends_with("car"), [1]),
        (F("note") > "blue", [1, 3]),
        (F("tags").contains("odd"), [2, 4]),
        (F("tags").is_null(), [1, 3, 5, 6, 7, 8]),
        (F("tags").contains(["none", "odd"]), [2, 4]),
        (F("age").exists() & F("width").between(20, 40), [2, 3, 4]),
        (F("width") * F("age") < 45, [1, 2, 4]),
        (F("width") - 10 * F("id") == 0, [1, 2, 3, 4, 5, 6, 7]),
        ((F("age") - F("id")).abs() >= 3, [4, 6, 7]),
        (abs(-F("age") / 2) + 1 >= F("id"), [1, 3]),
        (F("age") < F("id") - 2, [4, 7]),
        (F("width") * 10**30 > 35e30, [4, 5, 6, 7]),
        (F("width") * Fraction(1, 2) > 15, [4, 5, 6, 7]),
        (1 / (F("age") - 1) > 0.4, [1, 7]),  # a division by zero gives null
        ((F("width") + F("age")).is_null(), [8]),
        ((F("width") * 2).between(40, 60) | ~(F("width") + 0).exists(), [2, 3, 8]),
        (F("day") - F("day") == 0, [1, 2, 3]),
        (F("filepath").ends_with("/3.png"), [4]),
        (F("filepath") == "/nowhere/3.png", [4]),
    ],
)
def test_conditions_on_any_field(dataset, condition, ids):
    assert dataset.view().match(condition).ids.tolist() == ids
    dataset.save_view("kept", dataset.view().match(condition), overwrite=True)
    assert labelaudit.Dataset("plain").load_view("kept").ids.tolist() == ids


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (lambda: F("width") < "64", "width cannot be compared with '64'"),
        (lambda: F("human") == "cow", "'cow' is not a class"),
        (lambda: F("human") == 3, "give text"),
        (lambda: F("ok") == "yes", "True or False"),
        (lambda: F("day") > "soon", "give a date"),
        (lambda: F("colour") == 3, "no field 'colour'|no predictions"),
        (lambda: F("width") == F("human"), "cannot be compared"),
        (lambda: F("tags") == "odd", r"contains\(name\)"),
        (lambda: F("width") == [1, 2], "use isin"),
        (lambda: F("width") < 3 and F("age") < 3, "combined with &"),
        (lambda: (F("width") < 3) & True, "no condition"),
        (lambda: "width < 3", "give conditions"),
        (lambda: F("ground_truth.label") == "c0", "use 'ground_truth', which is the name"),
        (lambda: F("metadata.width") > 3, "use 'width'"),
        (lambda: F("net.confidence") > 0.5, r"'confidence' in dataset\.view\(run\)"),
        (lambda: F("human") * 2 > 3, "human holds names"),
        (lambda: F("tags") * 2 > 3, "tags holds names"),
        (lambda: F("width") + "2" > 3, "'2' cannot be calculated with"),
        (lambda: F("width") * 2 > "3", "'3' cannot be calculated with"),
        (lambda: F("width") * 10**5000 > 3, "numbers beyond 1.8e308"),
        (lambda: F("width") < -(10**400), "numbers beyond 1.8e308"),
    ],
)
def test_wrong_conditions_are_refused(dataset, condition, says):
    with pytest.raises(LabelAuditError, match=says):
        len(dataset.view().match(condition()))


def test_calculations_are_read_sorted_and_summed(dataset):
    area, view = F("width") * F("age"), dataset.view()
    assert view.values(area)[:3].tolist() == [30, 20, 120]
    by_area = view.sort_by(area, reverse=True)
    assert by_area.ids.tolist() == [6, 5, 7, 3, 4, 1, 2, 8]  # null is last
    dataset.save_view("by-area", by_area.match(area > 30))
    assert labelaudit.Dataset("plain").load_view("by-area").ids.tolist() == [6, 5, 7, 3, 4]
    assert "sort_by((F('width') * F('age')), True)" in repr(by_area)
    assert view.bounds(area) == (20, 540)


def test_own_fields_are_keywords_of_match(dataset):
    view = dataset.view()
    assert view.match(human="c0", ok=False).ids.tolist() == [2]
    assert view.match(human=["c1", "c2"], label="c2").ids.tolist() == [3]
    with pytest.raises(BadInputError, match=r"match\(humam=….*own fields.*human"):
        view.match(humam="c0")


def test_slices_masks_first_and_last(dataset):
    view = dataset.view().sort_by("id", reverse=True)
    assert view[2:4].ids.tolist() == dataset[::-1][2:4].ids.tolist() == [6, 5]
    assert view[-2:].ids.tolist() == [2, 1]
    assert view[::3].ids.tolist() == [8, 5, 2]
    assert (view.first().id, view.last().id, view[3].id) == (8, 1, 3)
    assert 3 in view
    assert 9 not in view
    assert view.select(view.values("age") > 3).ids.tolist() == [6, 5, 3]
    assert view.select(np.zeros(8, bool)).ids.tolist() == []
    assert [sample.id for sample in dataset][:2] == [1, 2]
    with pytest.raises(BadInputError, match=r"mask of shape \(3,\).*view of 8"):
        view.select([True, False, True])
    with pytest.raises(NotFoundError, match="no samples"):
        view[:0].first()
    with pytest.raises(NotFoundError, match="no sample with id 1"):
        view[:3][1]


def test_saved_views_follow_the_dataset(dataset):
    view = dataset.view().match_tag("odd").match(F("age") > 0).sort_by("age")[:5]
    dataset.save_view("odd-ones", view)
    dataset.tag([6], "odd")
    assert dataset.load_view("odd-ones").ids.tolist() == [2, 4, 6]
    assert dataset.saved_views == ["odd-ones"]
    with pytest.raises(BadInputError, match="already"):
        dataset.save_view("odd-ones", view)
    with pytest.raises(NotFoundError, match="no predictions"):
        dataset.save_view("bad", dataset.view().above("colour", 1))
    dataset.delete_view("odd-ones")
    with pytest.raises(NotFoundError, match="saved views are none"):
        dataset.load_view("odd-ones")


def test_findings_are_filtered_and_sorted(audited):
    view, table = audited.view(), audited.view().to_pandas()
    for finding in ("mislabelled", "fitting"):
        expected = table.id[table.finding == finding].tolist()
        assert expected
        assert view.match(finding=finding).ids.tolist() == expected
    assert view.values("finding").tolist() == table.finding.tolist()
    low = view.match(F("suggested_p") > 0.5).sort_by("suggested_p")
    assert np.all(np.diff(low.values("suggested_p")) >= 0)
    assert len(low) == (table.suggested_p > 0.5).sum()
    by_finding = view.sort_by("finding").values("finding").tolist()
    assert by_finding == sorted(by_finding)
    with pytest.raises(BadInputError, match="no finding 'wrong': there is mislabelled"):
        len(view.match(F("finding") == "wrong"))


def test_outliers_are_an_image_issue(audited):
    far = audited.view().values("outlier")
    found = audited.view().match(image_issue="outlier").values("outlier")
    assert len(found) == (far > labelaudit.scores.SCORES["outlier"].boundary).sum()


def test_reprs_are_short(dataset):
    view = dataset.view().match(F("age") > 1).match_tag("odd").sort_by("age", reverse=True)
    assert repr(view) == (
        "View('plain': 0 of 8 samples, where(F('age') > 1), match_tag('odd'), sort_by('age', True))"
    )
    assert "select(1, 2, 3, … 8 in all)" in repr(dataset.view().select(range(1, 9)))
    assert "cannot be read: dataset 'plain' has no" in repr(dataset.view().above("hardness", 1))
    assert repr(dataset[1]).startswith("Sample(1, ground_truth='c0', age=3.0, human='c0', ok=True")
    json.dumps(dataset.info)


def test_names_and_fields_are_checked_when_they_are_given(dataset):
    view = dataset.view()
    assert view.above("age", 3).ids.tolist() == [3, 5, 6]
    assert view.between("width", 20, 40).ids.tolist() == [2, 3, 4]
    assert view.sort_by(F("age"), reverse=True).ids[0] == 6
    assert (
        view.match(label=np.array(["c0", "c1"])).ids.tolist()
        == view.match(label=["c0", "c1"]).ids.tolist()
    )
    for call, says in (
        (lambda: view.match(label=3), "label: 3 is no name"),
        (lambda: view.values(["id", "age"]), "is no field"),
        (lambda: view.sort_by(3), "is no field"),
        (lambda: view.above("human", 1).ids, "is no number"),
        (lambda: setattr(dataset, "persistent", True), "would be lost"),
    ):
        with pytest.raises(BadInputError, match=says):
            call()
