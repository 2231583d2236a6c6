"""What `export` writes for Label Studio, checked and converted by its own SDK."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from labelaudit import load_arrays
from labelaudit.export import export_dataset

pytest.importorskip("label_studio_sdk")

ODD = ["a & b", '"q"', "<x>", "日本", "=1+1", "it's"]


def opened(folder):
    from label_studio_sdk.label_interface import LabelInterface

    tasks = json.loads((folder / "tasks.json").read_text())
    config = (folder / "config.xml").read_text()
    interface = LabelInterface(config)
    interface.validate()
    return tasks, config, interface


def test_every_task_is_valid_for_its_configuration(audited, tmp_path):
    export_dataset(audited, tmp_path / "out", "label-studio")
    tasks, _, interface = opened(tmp_path / "out")
    assert len(tasks) == len(audited)
    for task in tasks[:100]:
        assert all(interface.validate_annotation(a) for a in task["annotations"])
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
    wrong = {"result": [{**tasks[0]["annotations"][0]["result"][0], "from_name": "other"}]}
    assert not interface.validate_annotation(wrong), "the check can fail"
    for sample, task in zip(audited.view().limit(100), tasks, strict=False):
        (prediction,) = task["predictions"]
        finding = audited.view().select([sample.id]).to_pandas().iloc[0]
        mislabelled = finding["finding"] == "mislabelled"
        in_conflict = finding["finding"] == "duplicate conflict"
        mislabelled |= in_conflict and finding["suggested_p"] >= 0.5
        said = finding["suggested"] if mislabelled else sample.prediction.label
        p = finding["suggested_p"] if mislabelled else sample.prediction.confidence
        assert prediction["result"][0]["value"]["choices"] == [said]
        assert prediction["score"] == p


def test_odd_class_names_and_the_converter(home, tmp_path):
    from label_studio_sdk.converter import Converter

    images = np.random.default_rng(0).integers(0, 255, (7, 5, 4, 3), np.uint8)
    dataset = load_arrays("odd", images, [*range(6), None], classes=ODD)
    export_dataset(dataset, tmp_path / "out", "label-studio")
    tasks, config, interface = opened(tmp_path / "out")
    assert set(interface.get_control("label").labels) == set(ODD)
    assert [task["annotations"] for task in tasks[6:]] == [[]]
    assert all(task["predictions"] == [] for task in tasks)
    assert all(interface.validate_annotation(a) for task in tasks for a in task["annotations"])
    Converter(config, str(tmp_path)).convert_to_csv(
        str(tmp_path / "out/tasks.json"), str(tmp_path / "csv"), is_dir=False, sep=","
    )
    table = pd.read_csv(tmp_path / "csv" / "result.csv")
    found = dict(zip(table["labelaudit_id"], table["label"], strict=True))
    assert {i: found[i] for i in range(1, 7)} == dict(enumerate(ODD, 1))
