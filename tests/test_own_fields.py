"""Fields of the user: from a list's columns, by `add_samples`, by assignment; exported and back."""

from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import labelaudit
from labelaudit.core.errors import BadInputError, LabelAuditError, NotFoundError

KINDS = {
    "human_a": "label",
    "human_b": "label",
    "age": "number",
    "seen on": "date",
    "ok": "bool",
    "note": "text",
}
LIST = """filepath,label,human_a,human_b,age,seen on,ok,note
0.png,cat,cat,,1.5,2026-01-03,true,=one
1.png,dog,cat,bird,,2026-01-01T12:30:00,FALSE,
2.png,cat,dog,dog,-2,,true,"a,b"
3.png,dog,,cat,1e3,2026-01-02,,é
"""


@pytest.fixture
def annotated(tmp_path, picture):
    for i in range(4):
        picture(tmp_path / "in" / f"{i}.png", seed=i)
    (tmp_path / "in" / "list.csv").write_text(LIST)
    return labelaudit.load_dataset("pets", tmp_path / "in" / "list.csv", fields=KINDS)


def test_columns_of_a_list_become_fields(annotated):
    assert annotated.fields == KINDS
    assert annotated.classes == ["bird", "cat", "dog"]  # bird only occurs in human_b
    first, second, third, fourth = annotated
    assert (first.human_a, first.human_b, first.age, first.ok) == ("cat", None, 1.5, True)
    assert first["seen on"] == datetime(2026, 1, 3)
    assert second["seen on"] == datetime(2026, 1, 1, 12, 30)
    assert (second.age, second.ok, second.human_b, second.note) == (None, False, "bird", None)
    assert (third.note, third["seen on"], fourth.ok, fourth.age) == ("a,b", None, None, 1000)
    assert "human_a='cat'" in repr(first)
    view = annotated.view()
    assert view.sort_by("seen on").ids.tolist() == [2, 4, 1, 3]  # null last
    assert view.sort_by("age", reverse=True).ids.tolist() == [4, 1, 3, 2]
    assert view.sort_by("note").ids.tolist() == [1, 3, 4, 2]
    assert view.count_values("human_a") == {"bird": 0, "cat": 2, "dog": 1}
    assert view.count_values("ok") == {"False": 1, "True": 2}
    assert view.values("ok").tolist() == [True, False, True, None]
    table = view.to_pandas()
    assert table["age"].dtype == np.float64
    assert table["seen on"].dtype.kind == "M"


def test_kinds_are_found_from_the_values(annotated, tmp_path):
    source = tmp_path / "in" / "list.csv"
    found = labelaudit.load_dataset("again", source, fields=list(KINDS))
    assert found.fields == KINDS | {"human_b": "text"}  # bird is no class of the column label
    assert "ok (bool)" in " ".join(found.info["skipped"]["notes"])
    assert labelaudit.preview_dataset(source, fields="ok").images == 4
    with pytest.raises(BadInputError, match=r"list\.csv, row 1: '=one' in the column 'note'"):
        labelaudit.load_dataset("bad", source, fields={"note": "number"})
    with pytest.raises(BadInputError, match="no column 'colour'"):
        labelaudit.load_dataset("bad", source, fields=["colour"])
    with pytest.raises(BadInputError, match="works only for a table"):
        labelaudit.load_dataset("bad", tmp_path / "in", label_from="folders", fields=["ok"])
    with pytest.raises(BadInputError, match="only with a source"):
        labelaudit.load_dataset("pets", fields=["ok"])


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl", "list.parquet", "folders", "fiftyone"])
def test_fields_survive_an_export(annotated, tmp_path, name):
    target = tmp_path / "out" / name
    target.parent.mkdir()
    annotated[1].tag("x")
    if name in ("folders", "fiftyone"):
        labelaudit.export_dataset(annotated.view(), target, format=name)
    else:
        labelaudit.write_labels(annotated.view(), target)
    back = labelaudit.load_dataset("back", target)
    assert (back.fields, back.classes) == (annotated.fields, annotated.classes)
    columns = ["id", "ground_truth", "tags", *KINDS]
    assert back.view().to_pandas()[columns].equals(annotated.view().to_pandas()[columns])


def test_fields_are_in_every_table_for_others(annotated, tmp_path):
    labelaudit.write_suspects(annotated.view(), tmp_path / "suspects.csv")
    table = pd.read_csv(tmp_path / "suspects.csv")
    assert table["seen on"].tolist()[:2] == ["2026-01-03", "2026-01-01 12:30:00"]
    assert table["note"][0] == "'=one"
    labelaudit.export_dataset(annotated.view(), tmp_path / "hf", format="huggingface")
    rows = pq.read_table(next((tmp_path / "hf").rglob("*.parquet")))
    assert rows["human_a"].to_pylist() == [1, 1, 2, None]
    assert b'"human_b": {"names"' in rows.schema.metadata[b"huggingface"]
    labelaudit.export_dataset(annotated.view(), tmp_path / "fo", format="fiftyone")
    text = (tmp_path / "fo" / "samples.json").read_text()
    assert '"seen_on":{"$date":"2026-01-03T00:00:00Z"}' in text.replace(" ", "")


def test_values_are_set_and_typed(make_dataset):
    dataset = make_dataset(6, classes=3)
    for name, kind in KINDS.items():
        dataset.add_field(name, kind)
        dataset.add_field(name, kind)  # is kept
    sample = dataset[2]
    sample.human_a, sample["seen on"], sample.ok, sample.age = "c2", date(2026, 2, 1), True, 3
    sample.note = "hello"
    assert dataset.set_values("age", [3, 4, 5], np.array([1.0, np.nan, 2])) == 3
    assert dataset.set_values("human_b", [1, 2], "c0") == 2
    sample.ok = None
    reopened = labelaudit.Dataset("plain")[2]
    assert (reopened.human_a, reopened.ok, reopened.age) == ("c2", None, 3)
    assert (reopened.note, reopened["seen on"]) == ("hello", datetime(2026, 2, 1))
    assert [s.age for s in dataset] == [None, 3, 1, None, 2, None]
    new = {"filepath": ["/a.png", "/b.png"], "label": ["c1", None], "human_a": ["new", None],
           "age": [7, None], "seen on": [date(2026, 3, 1), None], "ok": [False, True]}  # fmt: skip
    seventh, eighth = (dataset[i] for i in dataset.add_samples(new))
    assert (seventh.human_a, seventh.age, seventh.ok, eighth.ok) == ("new", 7, False, True)
    assert dataset.classes[-1] == "new"
    dataset.drop_field("note")
    assert not hasattr(dataset[2], "note")
    dataset.add_field("note", "number")  # has nothing of the text before
    assert dataset[2].note is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: setattr(d[1], "human", "cow"), "'cow' is not a class"),
        (lambda d: setattr(d[1], "age", "3"), "'3'.*does not fit field 'age': give a number"),
        (lambda d: setattr(d[1], "age", float("inf")), "finite"),
        (lambda d: setattr(d[1], "age", True), "does not fit"),
        (lambda d: d.set_values("ok", [1, 2], [True, 1]), "1 .int. does not fit field 'ok'"),
        (lambda d: d.set_values("day", [1], ["next week"]), "ISO text"),
        (lambda d: d.set_values("age", [1, 2], [1]), "2 ids, but 1 value:"),
        (lambda d: d.set_values("age", [1, 1], 1), "twice"),
        (lambda d: d.set_values("age", [99], 1), "id 99"),
        (lambda d: d.set_values("agee", [1], 1), "no field 'agee'"),
        (lambda d: setattr(d[1], "agee", 1), "no field 'agee'"),
        (lambda d: d.add_samples({"filepath": ["/a.png"], "age": ["3"]}), "does not fit"),
        (lambda d: d.add_samples({"filepath": ["/a.png"], "agee": [3]}), "no field 'agee'"),
        (lambda d: d.add_field("age", "text"), "a number already"),
        (lambda d: d.add_field("hardness", "number"), "a field of every sample"),
        (lambda d: d.add_field("x;y", "number"), "cannot be the name"),
        (lambda d: d.add_field("x", "int"), "label, number, text"),
    ],
)
def test_what_does_not_fit_is_refused(make_dataset, change, says):
    dataset = make_dataset(3)
    for name, kind in {"human": "label", "age": "number", "ok": "bool", "day": "date"}.items():
        dataset.add_field(name, kind)
    before = dataset.view().to_pandas()
    with pytest.raises(LabelAuditError, match=says):
        change(dataset)
    assert dataset.view().to_pandas().equals(before)
    with pytest.raises(NotFoundError, match="no field 'lable'"):
        dataset[1]["lable"]
