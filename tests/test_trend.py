"""The batches of a dataset beside each other."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow as pa
import pytest
from test_cli import cli
from test_pages import open_page

import labelaudit
from labelaudit.core.errors import LabelAuditError, NotFoundError
from labelaudit.dataset import history_log
from labelaudit.living.current_errors import JudgedRun
from labelaudit.storage import schema


def with_syncs(dataset) -> None:
    """Let the last 300 samples have come with two syncs of which the second was worse."""
    frame = dataset.view().frame
    ids = frame.ids
    step = np.where(np.arange(len(ids)) < len(ids) - 300, 0, 1)
    step[-100:] = 2
    none = history_log.Differences(ids[:0], ids[:0], ids[:0], {}, {})
    with dataset.transaction():
        first = max((e.id for e in history_log.entries(frame)), default=0)
        for _ in range(2):
            cause = history_log.Cause(history_log.SYNC, "ann", {"counts": {}})
            history_log.record(frame, cause, none)
        rows = [
            {"id": i, "state": 0, "sync": first + s if s else 0}
            for i, s in zip(ids.tolist(), step.tolist(), strict=True)
        ]

        table = pa.Table.from_pylist(rows, schema=schema.SOURCE_FILES)
        frame.overwrite("source-files", table, schema.SOURCE_FILES)


def test_each_sync_and_each_tag_is_a_batch(audited, tmp_path):
    with_syncs(audited)
    table = labelaudit.trend(audited)
    assert table["batch"][0] == "first load"
    assert table["added"].tolist() == [1497, 200, 100]
    with audited.steady():
        judged = JudgedRun(audited)
        last = judged.errors(np.arange(1797) >= 1697)
    row = table.iloc[2]
    assert (row["low"], row["wrong"], row["high"]) == (last.low, last.wrong, last.high)
    assert (table["share_high"] > table["share_wrong"]).all()
    classes = [name for name in table if name.startswith("labels: ")]
    assert table[classes].to_numpy().sum() == table["labels"].sum() == 1797
    app = open_page("suspects/trend")
    assert app.dataframe[0].value["added"].tolist() == [1497, 200, 100]
    assert app.dataframe[1].value["3"].sum() == audited.view().count_values("label")["3"]
    ids = audited.view().ids
    audited.tag(ids[:50], "ann")
    audited.tag(ids[25:], "removed")
    labelaudit.Review(audited, "bob").decide(ids[:5], "keep")
    by_tag = labelaudit.trend(audited, tags=["ann", "mistake"])
    assert by_tag["batch"].tolist() == ["ann", "mistake"]
    assert (by_tag["added"][0], by_tag["labels"][0], by_tag["share_reviewed"][0]) == (50, 25, 0.2)
    with pytest.raises(NotFoundError, match="no tag 'carl'"):
        labelaudit.trend(audited, tags=["carl"])
    audited.untag(ids, "removed")
    audited.add_field("annotator", "text")
    mistakes = audited.view().match_tag("mistake").ids
    audited.set_values("annotator", ids, "ann")
    audited.set_values("annotator", mistakes, "bob")
    audited.set_values("annotator", ids[:100], None)
    audited.add_field("taken", "date")
    audited.set_values("taken", ids[:900], "2026-02-03")
    audited.set_values("taken", ids[900:], "2026-01-03T10:00")
    audited.add_field("age", "number")
    by_field = labelaudit.trend(audited, field="annotator")
    assert by_field["batch"].tolist() == ["bob", "no value", "ann"]  # the worst first
    assert by_field["added"].sum() == 1797
    assert by_field["share_wrong"][0] > 0.5 > by_field["share_wrong"][2]
    by_month = labelaudit.trend(audited, field="taken")
    assert by_month[["batch", "added"]].values.tolist() == [["2026-01", 897], ["2026-02", 900]]
    for options, why in (
        ({"field": "age"}, "holds numbers"),
        ({"field": "no"}, "no field 'no' to compare: it has annotator, taken, age, split"),
        ({"field": "taken", "tags": ["ann"]}, "not both"),
    ):
        with pytest.raises(LabelAuditError, match=why):
            labelaudit.trend(audited, **options)
    app.run()
    (choice,) = [box for box in app.selectbox if box.label == "Compare"]
    assert choice.options[:4] == [
        "loads and syncs", "tags", "values of annotator", "values of taken",
    ]  # fmt: skip
    app = choice.set_value("annotator").run()
    assert app.dataframe[0].value["batch"].tolist() == ["bob", "no value", "ann"]
    assert "no value" in cli("trend", "digits", "--field", "annotator").stdout
    rows = json.loads(cli("trend", "digits", "--csv", tmp_path / "t.csv", "--json").stdout)
    assert [row["added"] for row in rows] == [1497, 200, 100]
    with (tmp_path / "t.csv").open() as file:
        assert [row["labels: 3"] for row in csv.DictReader(file)] == [
            str(row["labels: 3"]) for row in rows
        ]
    assert "was written from the state" in cli("verify", "digits", tmp_path / "t.csv").stdout
    assert "first load" in cli("trend", "digits").stdout
