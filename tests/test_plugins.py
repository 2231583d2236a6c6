"""Other packages add scores, sources, exports and features; a broken one breaks nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from streamlit.testing.v1 import AppTest

import labelaudit
from labelaudit.cli import main
from labelaudit.core.errors import BadInputError, PluginError, PluginWarning
from labelaudit.core.plugins import find_plugins
from labelaudit.export import all_formats
from labelaudit.features.stored import find_features
from labelaudit.scores import SCORES
from labelaudit.sources import help_lines

REPO = Path(__file__).resolve().parents[1]
BROKEN = """
from dataclasses import dataclass, replace

import numpy as np

from labelaudit.export import Format
from labelaudit.features.extractors import Extractor, ExtractorKind
from labelaudit.scores import SCORES, DynamicsScore, FittedScore, LogitScore
from labelaudit.scores.base import BlockModel
from labelaudit.sources import FolderFormat, Source


def fail(*_):
    raise RuntimeError("two\\nlines")


def rows():
    yield {"filepath": "/nowhere.png", "label": "a"}
    fail()


class Fitted(BlockModel):
    reads_twice = True
    observe = fail


class Narrow(Extractor):
    name, version, size, width = "narrow", "1", 8, 3

    def of(self, images):
        return np.zeros((len(images), 2), np.float32)


RAISES = LogitScore("raises", "Raises", "A test.", fail)
SHAPE = LogitScore("shape", "Shape", "A test.", lambda labels, softmax: np.zeros(len(labels) + 1))
INFINITE = LogitScore("infinite", "I", "A test.", lambda labels, _: np.full(len(labels), np.inf))
FITTED = FittedScore("fitted", "Fitted", "A test.", Fitted)
EPOCHS = DynamicsScore("epochs", "Epochs", "A test.", lambda margins: margins, measure="margin")
OTHER = replace(RAISES, name="other")
LABEL = replace(RAISES, name="label")
AUM = replace(SCORES._built_in["aum"])
MEASURE = replace(EPOCHS, name="measure", measure="mood")
UNTITLED = replace(RAISES, name="untitled", title=None)
LISTS = FolderFormat("broken", "any folder", fail, fail)
READS = FolderFormat(
    "reads", "`x.reads`", lambda files: "x.reads" in files.names,
    lambda files, label: Source("reads", ["a"], 1, rows, check=False),
)
WRITES = Format("Writes", "A test.", fail)
NOTES = Format("Notes", "A test.", lambda samples, output, folder: "a text")
NARROW = ExtractorKind("Narrow", "A test.", lambda name, examples: Narrow())
PIXELS = ExtractorKind("Pixels", "A test.", fail)
"""
BROKEN_ENTRIES = {
    "scores": "raises:RAISES shape:SHAPE infinite:INFINITE fitted:FITTED epochs:EPOCHS name:OTHER "
    "label:LABEL aum:AUM measure:MEASURE untitled:UNTITLED number:rows",
    "sources": "lists:LISTS reads:READS",
    "exports": "writes:WRITES notes:NOTES folders:WRITES",
    "features": "narrow:NARROW pixels:PIXELS",
}
PROBLEMS = {
    "name": "its score is named 'other': name the entry point the same",
    "label": "'label' cannot be the name of a score",
    "aum": "LabelAudit has a score of this name",
    "measure": "its measure 'mood' is none of margin",
    "untitled": "its title is not a text: None",
    "number": "it is not a LogitScore or FittedScore or DynamicsScore or NeighbourScore",
    "folders": "LabelAudit has a format of this name",
    "pixels": "LabelAudit has an extractor of this name",
    "exits": "it cannot be loaded (SystemExit: 3)",
    "missing": "it cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')",
}


@pytest.fixture(scope="module")
def example_package(tmp_path_factory) -> Path:
    """The folder that examples/plugin is installed into."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(REPO / "examples" / "plugin", folder / "source")  # a build leaves files there
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
               "--no-build-isolation", "--disable-pip-version-check",
               "--target", str(folder / "site"), str(folder / "source")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def install(monkeypatch) -> Callable[[Path], None]:
    """Make the packages of a folder visible to this test."""

    def forget() -> None:
        find_plugins.cache_clear()
        vars(SCORES).pop("_scores", None)

    def use(site: Path) -> None:
        monkeypatch.syspath_prepend(site)
        forget()

    yield use
    for name in ("labelaudit_example", "broken_plugin", "leaves"):
        sys.modules.pop(name, None)
    monkeypatch.undo()
    forget()


@pytest.fixture
def example(install, example_package) -> None:
    install(example_package)


@pytest.fixture
def broken(install, tmp_path) -> None:
    """A package whose plugins cannot be loaded or fail when they are used."""
    info = tmp_path / "site" / "broken-2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 2\n")
    lines = []
    for kind, entries in BROKEN_ENTRIES.items():
        lines.append(f"[labelaudit.{kind}]")
        lines += [
            f"{name} = broken_plugin:{value}"
            for name, value in (entry.split(":") for entry in entries.split())
        ]
        if kind == "scores":
            lines += ["missing = no_such_module:X", "exits = leaves:X"]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (tmp_path / "site" / "broken_plugin.py").write_text(BROKEN)
    (tmp_path / "site" / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    install(tmp_path / "site")


@pytest.fixture
def predicted(few_digits) -> labelaudit.Dataset:
    """400 digits with imported predictions."""
    logits = np.random.default_rng(0).normal(size=(400, 10))
    labelaudit.import_predictions(few_digits, logits, "mine", kind="logits", by="order")
    return few_digits


def test_plugins_are_listed_with_what_they_say(example, predicted):
    found = {plugin.name: plugin for plugin in labelaudit.plugins()}
    assert list(found) == ["loss", "labels_txt", "labels-txt", "colours"]
    assert {plugin.package for plugin in found.values()} == {"labelaudit-example 1.0"}
    assert (found["colours"].kind, found["colours"].problem) == ("features", None)
    assert help_lines()[-1][0] == "Labels.txt"
    assert list(all_formats())[-1] == "labels-txt"
    done = CliRunner().invoke(main, ["plugins"])
    assert [line.split()[1] for line in done.output.splitlines()] == list(found)
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300)
    app.switch_page(str(REPO / "pages/start/methods.py")).run()
    assert not app.exception, app.exception
    assert list(app.dataframe[0].value["title"]) == [plugin.title for plugin in found.values()]


def test_a_registered_score_is_computed_and_ranks(example, predicted):
    assert "loss" in labelaudit.compute_scores(predicted)
    view = predicted.view()
    logits = np.concatenate([block for _, block in predicted.run().logits()])
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    expected = -np.log(p[np.arange(400), view.fields.coded("ground_truth")[0]])
    np.testing.assert_allclose(view.fields.number("loss"), expected, atol=1e-5)
    first = labelaudit.suspects(predicted, score="loss").head(1)[0]
    assert first.id == view.ids[expected.argmax()]


def test_registered_features_are_used_by_a_first_look(example, tmp_path, picture):
    for i in range(12):
        picture(tmp_path / "in" / ("cat" if i % 2 else "dog") / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "in")
    assert labelaudit.first_look(dataset, features="colours").has_predictions()
    stored = find_features(dataset.view().frame, "colours")
    assert (stored.width, len(stored.ids())) == (24, 12)


def test_a_registered_export_is_loaded_again_by_a_registered_source(example, tmp_path, picture):
    for i, name in enumerate(["cat", "dog", "cat"]):
        picture(tmp_path / "in" / name / f"{i}.png", seed=i)
    dataset = labelaudit.load_dataset("pets", tmp_path / "in")
    done = labelaudit.export_dataset(dataset, tmp_path / "out", "labels-txt")
    assert done.notes == []
    (tmp_path / "out/labels.txt").open("a").write("images/gone.png\tdog\n")
    again = labelaudit.load_dataset("again", tmp_path / "out")
    assert again.info["skipped"]["count"] == 1
    assert again.view().count_values("ground_truth") == {"cat": 2, "dog": 1}


def test_plugins_that_cannot_be_loaded_are_named_with_the_problem(broken, few_digits):
    with pytest.warns(PluginWarning) as warned:
        found = labelaudit.plugins()
    problems = {plugin.name: plugin.problem for plugin in found if plugin.problem}
    assert {name: problems[name][: len(text)] for name, text in PROBLEMS.items()} == PROBLEMS
    assert len(problems) == len(PROBLEMS)
    said = "\n".join(str(each.message) for each in warned)
    assert "plugin 'exits' of broken 2 (leaves:X) is left out: it cannot be loaded" in said
    find_plugins.cache_clear()
    done = CliRunner().invoke(main, ["plugins"])
    assert done.exit_code == 0
    assert "Warning: plugin 'exits' of broken 2" in done.stderr
    assert "is left out: it cannot be loaded (SystemExit: 3) [broken 2]" in done.stdout
    app = AppTest.from_file(str(REPO / "app.py"), default_timeout=300)
    app.switch_page(str(REPO / "pages/start/methods.py")).run()
    assert not app.exception, app.exception
    assert len(app.warning) == len(PROBLEMS)


@pytest.mark.filterwarnings("ignore:plugin")
def test_scores_that_fail_are_left_out_or_named(broken, predicted):
    with pytest.warns(PluginWarning, match="Not computed") as warned:
        computed = labelaudit.compute_scores(predicted)
    assert computed[0] == "suspicion"
    assert not set(computed) & {"raises", "shape", "infinite", "fitted"}
    assert sum("Not computed" in str(each.message) for each in warned) == 4
    failed = r"'raises' of broken 2 \(broken_plugin:RAISES\) failed with RuntimeError: two lines\. "
    with pytest.raises(PluginError, match=failed):
        labelaudit.compute_scores(predicted, names=["raises"])
    with pytest.raises(PluginError, match=r"an array of shape \(\d+,\) for \d+ samples"):
        labelaudit.compute_scores(predicted, names=["shape"])
    with pytest.raises(PluginError, match="infinite values"):
        labelaudit.compute_scores(predicted, names=["infinite"])
    with pytest.raises(PluginError, match="'fitted' of broken 2"):
        labelaudit.compute_scores(predicted, names=["fitted"])


@pytest.mark.filterwarnings("ignore:plugin")
def test_formats_and_features_that_fail_are_named_and_the_others_work(broken, tmp_path, picture):
    for i in range(4):
        picture(tmp_path / f"in/{'cat' if i % 2 else 'dog'}/{i}.png", seed=i)
    with pytest.warns(PluginWarning, match="'lists' of broken 2"):
        dataset = labelaudit.load_dataset("pets", tmp_path / "in")
    assert len(dataset) == 4
    (tmp_path / "in/x.reads").touch()
    with pytest.raises(PluginError, match="'reads' of broken 2"):
        labelaudit.load_dataset("again", tmp_path / "in")
    with pytest.raises(PluginError, match="'writes' of broken 2"):
        labelaudit.export_dataset(dataset, tmp_path / "out", "writes")
    with pytest.raises(PluginError, match="write must return a list of sentences, not 'a text'"):
        labelaudit.export_dataset(dataset, tmp_path / "out", "notes")
    assert not (tmp_path / "out").exists()
    with pytest.raises(BadInputError, match=r"'tar' is not a format: .*, notes, writes"):
        labelaudit.export_dataset(dataset, tmp_path / "out", "tar")
    with pytest.raises(PluginError, match=r"'narrow' .* shape \(4, 2\) for 4 images of 3 numbers"):
        labelaudit.first_look(dataset, features="narrow")


def test_the_example_is_documented():
    page = (REPO / "docs" / "plugins.md").read_text()
    for plugin in ("scores", "sources", "exports", "features"):
        assert f"`labelaudit.{plugin}`" in page
