"""Another package can register sources and export formats through entry points."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import labelaudit
from labelaudit.core.errors import LabelAuditError
from labelaudit.core.plugins import load_plugins
from labelaudit.export import all_formats
from labelaudit.sources import help_lines

CODE = """
from labelaudit.export import Format
from labelaudit.sources import FolderFormat, ImageList, ListFormat, Source


def read(file, label):
    pairs = [line.split() for line in file.content.decode().splitlines()[1:]]
    rows = [{"filepath": path, "label": name} for path, name in pairs]
    return ImageList.from_rows(rows, sorted({name for _, name in pairs}))


def open_folder(files, label):
    rows = [{"filepath": files.filepath(name), "label": "any"} for name in files.names[1:]]
    return Source.of_files(files, "marked folder", ["any"], len(rows), lambda: rows)


def write(samples, output, folder):
    paths = (f"{row['id']} {row['ground_truth']}" for row in samples.records())
    output.write("ids.txt", "\\n".join(paths).encode())
    return ["A note."]


LIST = ListFormat("plain list", "a list", lambda file: file.head[:5] == b"#list", read)
FOLDER = FolderFormat("marked folder", "`.a` first", lambda f: "0.marked" in f.names, open_folder)
EXPORT = Format("Ids", "Only ids.", write, images=False, files=False)
WRONG = "not a format"
"""
ENTRY_POINTS = """
[labelaudit.sources]
list = fake_plugin:LIST
folder = fake_plugin:FOLDER
wrong = fake_plugin:WRONG
missing = no_such_module:LIST

[labelaudit.exports]
ids = fake_plugin:EXPORT
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A package that registers three formats, a wrong object and a missing module."""
    site = tmp_path / "site"
    info = site / "fake_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "fake_plugin.py").write_text(CODE)
    monkeypatch.syspath_prepend(site)
    load_plugins.cache_clear()
    yield
    sys.modules.pop("fake_plugin", None)
    load_plugins.cache_clear()


pytestmark = pytest.mark.usefixtures("plugin")
ignored = pytest.mark.filterwarnings("ignore:entry point")


@ignored
def test_a_registered_list_is_loaded_and_exported(tmp_path, picture):
    picture(tmp_path / "in/a.png", seed=1)
    (tmp_path / "in/list.json").write_text("#list\na.png cat\ngone.png dog\n")
    dataset = labelaudit.load_dataset("plain", tmp_path / "in/list.json")
    assert dataset.view().count_values("ground_truth") == {"cat": 1, "dog": 0}
    done = labelaudit.export_dataset(dataset, tmp_path / "out", "ids")
    assert Path(tmp_path / "out/ids.txt").read_text() == f"{dataset.view().head(1)[0].id} cat"
    assert done.notes == ["A note."]


@ignored
def test_a_registered_folder_is_loaded(tmp_path, picture):
    picture(tmp_path / "in/a.png", seed=1)
    (tmp_path / "in/0.marked").touch()
    dataset = labelaudit.load_dataset("marked", tmp_path / "in")
    assert dataset.info["source"] == "marked folder"
    assert len(dataset) == 1


def test_registered_formats_are_listed_and_broken_ones_are_ignored_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="entry point") as warnings:
        titles = [title for title, _ in help_lines()]
    said = sorted(str(warning.message) for warning in warnings)
    assert titles[-2:] == ["Plain list", "Marked folder"]
    assert "'missing'" in said[0] and "no_such_module" in said[0]  # noqa: PT018
    assert "'wrong'" in said[1] and "is not a ListFormat or FolderFormat" in said[1]  # noqa: PT018
    assert list(all_formats())[-1] == "ids"


@ignored
def test_an_unknown_format_names_the_registered_ones(tmp_path):
    dataset = labelaudit.load_dataset("digits")
    with pytest.raises(LabelAuditError, match=r"'tar' is not a format: .*ids"):
        labelaudit.export_dataset(dataset, tmp_path / "out", "tar")
