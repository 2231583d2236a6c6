"""The code of the README and of the examples runs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import labelaudit

REPO = Path(__file__).resolve().parents[1]
EXAMPLE = REPO / "examples" / "walkthrough.py"


@pytest.mark.system
def test_the_walkthrough_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE))
    printed = capsys.readouterr().out
    assert "359 of 1,797 labels made wrong" in printed
    table = pd.read_csv(tmp_path / "suspects.csv")
    assert f"{len(table)} suspects in suspects.csv" in printed
    dataset = labelaudit.load_dataset("digits")
    assert table.id.tolist() == labelaudit.suspects(dataset).ids.tolist()
    corrected = dataset.view().values("original_label") != dataset.view().values("ground_truth")
    assert corrected.sum() in (358, 359)  # one suspect was relabelled, most likely to the truth


def test_the_readme_shows_the_walkthrough_as_it_is():
    readme = (REPO / "README.md").read_text()
    shown = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    body = EXAMPLE.read_text().split('"""', 2)[2].strip()
    assert shown.strip() == body


def test_the_readme_names_every_command():
    readme = (REPO / "README.md").read_text()
    from labelaudit.__main__ import main

    for command in main.list_commands():
        assert f"`{command}`" in readme, command


def test_the_training_loop_of_the_docs_makes_a_run(home):
    """tests/extras runs the examples of the frameworks."""
    text = (REPO / "docs" / "training-loops.md").read_text()
    begin, loop, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(begin + loop, {"__name__": "example"})
    dataset = labelaudit.Dataset("digits")
    info = dataset.run("mine").info
    assert (info["epochs"], info["learned"], info["held_out"]) == (2, 1437, 360)
    assert info["notes"] == []
    labelaudit.compute_scores(dataset, names=["aum"])
    assert len(labelaudit.suspects(dataset)) > 0


def test_the_page_for_fiftyone_users_shows_the_example_as_it_is():
    """test_browser_smoke.py runs it."""
    example = (REPO / "examples" / "fiftyone_walkthrough.py").read_text()
    shown = re.findall(r"```python\n(.*?)```", _page("from-fiftyone"), re.DOTALL)
    assert len(shown) == 8
    for step in shown:
        assert step.strip() in example, step


def test_the_code_for_cleanlab_users_runs(home, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", _page("from-cleanlab"), re.DOTALL)
    labels = np.arange(60) % 3
    p = np.full((60, 3), 0.02)
    p[np.arange(60), labels] = 0.96
    labels[:4] = (labels[:4] + 1) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)
    values = {"images": images, "labels": labels, "pred_probs": p, "labelaudit": labelaudit}
    exec(code, values)
    assert set(values["suspects"].ids.tolist()) >= {1, 2, 3, 4}


@pytest.mark.parametrize("page", ["from-fiftyone", "from-cleanlab"])
def test_the_calls_of_pages_for_other_users_exist(page):
    named = set(re.findall(r"labelaudit\.(\w+)", _page(page))) - {"ui"}
    assert named <= set(labelaudit.__all__), named - set(labelaudit.__all__)
    methods = set(re.findall(r"(?:view|view\(\))\.(\w+)\(", _page(page)))
    assert all(hasattr(labelaudit.View, name) for name in methods), methods
    methods = set(re.findall(r"`dataset\.(\w+)\([^`]*` \|$", _page(page), re.MULTILINE))
    assert all(hasattr(labelaudit.Dataset, name) for name in methods), methods


def _page(name: str) -> str:
    return (REPO / "docs" / f"{name}.md").read_text()


def test_every_public_name_is_there_and_documented():
    for name in labelaudit.__all__:
        value = getattr(labelaudit, name)
        assert value.__doc__, name
        assert callable(value), name
    assert set(labelaudit.__all__) == set(labelaudit._MODULES)
