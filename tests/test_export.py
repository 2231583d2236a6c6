from __future__ import annotations

import csv
import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labelaudit import export_dataset, load_dataset
from labelaudit.core.csv_cells import guard, unguard
from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.dataset import create_dataset
from labelaudit.export import suspects_csv, write_labels, write_suspects
from labelaudit.ranking.ranking import suspects


@given(st.text(max_size=12))
def test_guarded_cells_are_no_formulas_and_come_back(text):
    cell = guard(pa.array([text]))[0].as_py()
    assert unguard(pa.array([cell]))[0].as_py() == text
    if cell[:1] in tuple("=+-@\t\r"):
        float(cell)  # only a plain number may begin so


@pytest.mark.parametrize(
    ("text", "cell"),
    [("=1+1", "'=1+1"), ("-1", "-1"), ("+4.5", "+4.5"), ("-x", "'-x"), ("@a", "'@a"),
     ("cat", "cat"), ("'=x", "''=x"), ("'tis", "'tis")],
)  # fmt: skip
def test_guard(text, cell):
    assert guard(pa.array([text]))[0].as_py() == cell


def test_suspects_csv_has_all_rows_in_order(audited, tmp_path):
    view = suspects(audited, score="mistakenness")
    rows = write_suspects(view, tmp_path / "s.csv")
    assert rows == len(view) > 100
    with (tmp_path / "s.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == [
        "id", "filepath", "split", "ground_truth", "predicted", "confidence", "suggested",
        "suggested_p", "finding", "image_issues", *audited.run().score_names(), "tags",
    ]  # fmt: skip
    assert [int(row["id"]) for row in read] == view.ids.tolist()
    values = [float(row["mistakenness"]) for row in read]
    assert values == sorted(values, reverse=True)
    assert values == view.values("mistakenness").tolist()  # to the last digit
    assert read[0]["tags"] in ("processed", "mistake;processed")
    assert suspects_csv(view) == (tmp_path / "s.csv").read_bytes()


def test_hostile_names_are_guarded(tmp_path):
    rows = [{"filepath": "/=x.png", "label": "=cmd()", "split": "+a", "tags": ["@t"]}]
    dataset = create_dataset("h", rows)
    text = suspects_csv(dataset.view()).decode()
    row = next(csv.DictReader(text.splitlines()))
    assert row["ground_truth"] == "'=cmd()"
    assert row["split"] == "'+a"
    assert row["tags"] == "'@t"


def test_an_empty_view_writes_the_header(make_dataset, tmp_path):
    assert write_suspects(make_dataset(3).view().match_tag("none"), tmp_path / "s.csv") == 0
    assert (tmp_path / "s.csv").read_text().startswith('"id","filepath"')


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_come_back_equal(tmp_path, picture, suffix):
    for i in range(4):
        picture(tmp_path / "p" / f"{i}.png", seed=i)
    (tmp_path / "m.csv").write_text(
        'filepath,label,split,tags\np/0.png,-1,train,a;b\np/1.png,"x, y",,\np/2.png,,test,\n'
        "p/3.png,'=z,test,c\n"
    )
    dataset = load_dataset("first", tmp_path / "m.csv")
    dataset.set_labels([2], "-1")
    assert write_labels(dataset.view(), tmp_path / f"out{suffix}") == 4
    again = load_dataset("again", tmp_path / f"out{suffix}")
    columns = ["id", "filepath", "split", "ground_truth", "tags"]
    before, after = dataset.view().to_pandas()[columns], again.view().to_pandas()[columns]
    pd.testing.assert_frame_equal(before, after)


def test_bad_targets_are_said_and_leave_nothing(make_dataset, tmp_path):
    view = make_dataset(3).view()
    with pytest.raises(LabelAuditError, match=r"\.csv, \.jsonl, \.parquet"):
        write_labels(view, tmp_path / "labels.xlsx")
    with pytest.raises(LabelAuditError, match="cannot be written"):
        write_suspects(view, tmp_path / "no" / "folder.csv")
    assert list(tmp_path.glob("*.xlsx")) == []


def test_a_write_that_fails_keeps_the_file_that_was_there(make_dataset, tmp_path, monkeypatch):
    target = tmp_path / "s.csv"
    target.write_text("precious")
    view = make_dataset(3).view()
    monkeypatch.setattr("labelaudit.export.tables.guard", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_suspects(view, target)
    assert target.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir() if "s.csv" in path.name] == ["s.csv"]


def test_suspects_alone_in_their_order(audited, tmp_path):
    view = suspects(audited).limit(30)
    done = export_dataset(view, tmp_path / "s.csv")
    assert done.samples == 30
    assert pd.read_csv(tmp_path / "s.csv")["id"].tolist() == view.ids.tolist()
    export_dataset(view, tmp_path / "out", "label-studio")
    tasks = json.loads((tmp_path / "out/tasks.json").read_text())
    assert [task["id"] for task in tasks] == view.ids.tolist()
    first, sample = tasks[0], audited[int(view.ids[0])]
    assert first["annotations"][0]["result"][0]["value"]["choices"] == [sample.ground_truth]
    assert first["data"]["suspicion"] == sample.scores["suspicion"]
    with Image.open(tmp_path / first["data"]["image"].split("?d=")[1]) as image:
        assert image.tobytes() == sample.image.tobytes()
