"""The walkthrough as a notebook: it runs, takes the script's steps, and is stored small."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "docs"))
from notebook import NOTEBOOK, run  # noqa: E402

LARGEST = 80 << 10  # bytes


@pytest.fixture
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, 4)


def code_lines(text: str) -> list[str]:
    lines = [line.partition("  #")[0].rstrip("; ") for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.system
def test_it_runs_from_top_to_bottom(notebook, tmp_path):
    for cell in notebook.cells:  # how well it learns, test_examples.py looks at
        cell.source = cell.source.replace("epochs=10", "epochs=2, threads=1")
        cell.pop("outputs", None) if cell.cell_type != "code" else cell.outputs.clear()
    run(notebook, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
    assert "359 of 1,797 labels made wrong" in printed
    assert f"{len(pd.read_csv(tmp_path / 'suspects.csv'))} suspects in suspects.csv" in printed
    shown = [cell for cell in notebook.cells if ".grid(" in cell.source]
    assert len(shown) == 4
    assert all("image/png" in cell.outputs[0].data for cell in shown)


def test_it_takes_the_steps_of_the_script(notebook):
    script = (REPO / "examples" / "walkthrough.py").read_text().split('"""', 2)[2]
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    more = {"dataset.view().grid(16)", "mistakes.grid(8)", "suspects.grid(24)"}
    more |= {'dataset.view().sort_by("hardness", reverse=True).grid(8)'}
    more |= {"print(labelaudit.estimate_wrong(dataset).headline())"}
    shared = [line for line in code_lines("\n".join(cells)) if line not in more]
    assert shared == code_lines(script)


def test_what_is_stored_is_whole_small_and_of_no_machine(notebook):
    text = NOTEBOOK.read_text()
    assert len(text) < LARGEST, "run `make notebook`, which makes its pictures small"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "execute_result"}
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert "site-packages" not in text
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
