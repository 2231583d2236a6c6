"""cleanlab's issues as tags. tests/extras has what Datalab itself writes."""

from __future__ import annotations

import cleanlab
import numpy as np
import pandas as pd
import pytest

from labelaudit import import_issues, list_changes, return_to
from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.history import describe


def tagged(dataset, tag="label_issue"):
    return dataset.view().match_tag(tag).ids.tolist()


def table(n=6, issues=(1, 4), **columns):
    labels = [f"c{i % 2}" for i in range(n)]
    flags = [i in issues for i in range(n)]
    return pd.DataFrame({"is_label_issue": flags, "label_score": 0.5, "given_label": labels,
                         "predicted_label": labels, **columns})  # fmt: skip


@pytest.fixture
def dataset(make_dataset):
    """Six samples with the ids 1 to 6, /nowhere/0.png to 5.png, labelled c0, c1, c0 …"""
    return make_dataset(6, 2)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("index", [True, False])
def test_rows_in_order_become_tags(dataset, tmp_path, suffix, index):
    path, rows = tmp_path / f"issues.{suffix}", table(is_outlier_issue=[True] + [False] * 5)
    match suffix:
        case "csv":
            rows.to_csv(path, index=index)
        case "jsonl":
            rows.to_json(path, orient="records", lines=True)
        case _:
            rows.to_parquet(path, index=index)
    assert import_issues(dataset, path) == {
        "rows": 6, "tags": {"label_issue": 2, "outlier_issue": 1}, "changed": 3, "outdated": 0,
        "unmatched": {"count": 0, "rows": []},
    }  # fmt: skip
    assert tagged(dataset) == [2, 5]
    assert tagged(dataset, "outlier_issue") == [1]


def test_a_second_import_replaces_the_first_and_both_can_be_taken_back(dataset):
    import_issues(dataset, table())
    assert import_issues(dataset, table(issues=(1, 2)))["changed"] == 2
    assert tagged(dataset) == [2, 3]
    lines = list_changes(dataset)
    assert [describe(line) for line in lines] == ["tagged label_issue"] * 2
    return_to(dataset, lines[0].id)
    assert tagged(dataset) == [2, 5]


def test_some_rows_are_matched_by_their_index_id_or_path(dataset, tmp_path):
    some = table().iloc[[4, 1, 0]]  # worst first, as people sort them
    assert import_issues(dataset, some)["rows"] == 3
    assert tagged(dataset) == [2, 5]
    some.to_csv(tmp_path / "indexed.csv")
    import_issues(dataset, table(issues=()))
    import_issues(dataset, tmp_path / "indexed.csv")
    assert tagged(dataset) == [2, 5]
    by_id = table(issues=(0,), id=[6, 5, 4, 3, 2, 1], given_label=["c1", "c0"] * 3)
    import_issues(dataset, by_id)
    assert tagged(dataset) == [6]
    paths = ["/nowhere/3.png", "nowhere/2.png", "1.png", "gone.png"]
    report = import_issues(dataset, table(4, (0, 1, 2, 3), file_name=paths,
                                          given_label=["c1", "c0", "c1", "c0"]))  # fmt: skip
    assert report["unmatched"] == {"count": 1, "rows": [4]}
    assert tagged(dataset) == [2, 3, 4, 6]
    seen = table(2, (0,)).drop(columns="given_label").set_axis(["5.png", "4.png"])  # CleanVision's
    import_issues(dataset, seen)
    assert tagged(dataset) == [2, 3, 4, 6]
    seen.to_csv(tmp_path / "vision.csv")
    import_issues(dataset, table(issues=()))
    import_issues(dataset, tmp_path / "vision.csv")
    assert tagged(dataset) == [6]


def test_a_path_that_several_samples_end_in_belongs_to_none(make_dataset):
    dataset = make_dataset(2, 2, filepath=["/a/x.png", "/b/x.png"])
    rows = table(2, (0, 1), filepath=["x.png", "a/x.png"]).drop(columns="given_label")
    assert import_issues(dataset, rows)["unmatched"] == {"count": 1, "rows": [1]}
    assert tagged(dataset) == [1]


def test_an_index_that_is_called_id_holds_ids(dataset):
    by_id = table(issues=(0,)).set_index(pd.Index([6, 5, 4, 3, 2, 1], name="id"))
    import_issues(dataset, by_id.drop(columns="given_label"))
    assert tagged(dataset) == [6]


def test_paths_may_be_relative_to_the_file_and_columns_parted_by_semicolons(make_dataset, tmp_path):
    dataset = make_dataset(2, 2, filepath=[f"{tmp_path}/a/x.png", "/b/x.png"])
    (tmp_path / "a" / "deep").mkdir(parents=True)
    for place, name in (("a", "x.png"), ("a/deep", "../x.png"), ("", "a\\x.png")):
        import_issues(dataset, np.zeros(2, bool))
        path = tmp_path / place / "issues.csv"
        path.write_text(f"file_name;is_label_issue\n{name};True\n")
        import_issues(dataset, path)
        assert tagged(dataset) == [1], name


def test_the_given_labels_are_checked(dataset):
    wrong = table(given_label=["c1", *["c0"] * 5])
    with pytest.raises(LabelAuditError, match="row 1: given_label is 'c1', but sample 1 is 'c0'"):
        import_issues(dataset, wrong)
    assert tagged(dataset) == []
    dataset.set_labels([2], "c0")  # since cleanlab looked: what it found is of the old label
    assert import_issues(dataset, table())["outdated"] == 1
    assert tagged(dataset) == [5]
    dataset.set_labels([2], "c1")
    by_index = table(given_label=[0, 1] * 3)
    assert import_issues(dataset, by_index)["outdated"] == 0
    assert tagged(dataset) == [2, 5]
    dataset.set_labels([1], None)
    assert (
        import_issues(dataset, table(given_label=[None, *["c1", "c0"] * 2, "c1"]))["outdated"] == 0
    )


def test_what_find_label_issues_returns(dataset):
    labels = np.array([0, 1] * 3)
    p = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
    p[[1, 4]] = p[[1, 4]][:, ::-1]
    mask = cleanlab.filter.find_label_issues(labels, p)
    ranked = cleanlab.filter.find_label_issues(
        labels, p, return_indices_ranked_by="self_confidence"
    )
    for found in (mask, ranked):
        import_issues(dataset, np.zeros(6, bool))
        assert tagged(dataset) == []
        import_issues(dataset, found)
        assert tagged(dataset) == [2, 5]
    with pytest.raises(LabelAuditError, match="position 6 is not a sample: positions are 0 to 5"):
        import_issues(dataset, np.array([6]))
    with pytest.raises(LabelAuditError, match=r"the array is float64 \(6,\)"):
        import_issues(dataset, np.zeros(6))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label_score\n0.5\n", "has no column like is_label_issue: it has label_score"),
        ("is_label_issue\nTrue\n", "has 1 rows and the dataset 6 samples"),
        ("id,is_label_issue\n1,maybe\n", "row 1: is_label_issue is 'maybe'"),
        ("id,is_label_issue\n1,True\nx,True\n", "row 2: id is 'x', not a whole number"),
        ("id,is_label_issue\n1,True\n1,False\n", "has 2 rows for sample 1"),
        ("id,is_label_issue\n99,True\n", "no row of issues.csv matches a sample"),
        ("", "cannot be read"),
        ("id,is_label_issue\n1,True\n4,5,6,7\n", "cannot be read"),
    ],
)
def test_bad_files_change_nothing(dataset, tmp_path, text, says):
    path = tmp_path / "issues.csv"
    path.write_text(text)
    with pytest.raises(LabelAuditError) as caught:
        import_issues(dataset, path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list_changes(dataset) == []
    with pytest.raises(LabelAuditError, match="does not exist"):
        import_issues(dataset, tmp_path / "gone.csv")
    with pytest.raises(LabelAuditError, match=r"ends in '\.txt'"):
        import_issues(dataset, tmp_path / "gone.txt")
