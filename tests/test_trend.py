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
from labelaudit.core.errors import NotFoundError
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
    rows = json.loads(cli("trend", "digits", "--csv", tmp_path / "t.csv", "--json").stdout)
    assert [row["added"] for row in rows] == [1497, 200, 100]
    with (tmp_path / "t.csv").open() as file:
        assert [row["labels: 3"] for row in csv.DictReader(file)] == [
            str(row["labels: 3"]) for row in rows
        ]
    assert "first load" in cli("trend", "digits").stdout
