"""The reference (docs/api.md, docs/cli.md) is current and complete, and links in docs/ work."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from textwrap import dedent

import click
import click.testing
import numpy as np
import pandas as pd
import pytest

import labelaudit
from labelaudit import app_session
from labelaudit.cli import main
from labelaudit.core import errors

REPO = Path(__file__).resolve().parents[1]
DOCS = REPO / "docs"

spec = importlib.util.spec_from_file_location("docs_api", DOCS / "api.py")
api = sys.modules["docs_api"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)

ENTRIES = {entry.full: entry for entry in api.all_entries()}
SHAPE = re.compile(r"\((\w+(, \w+)+|\w+,)\)")
COMMANDS = main.all_commands()
OPTIONS = [(name, parameter) for name in COMMANDS for parameter in COMMANDS[name].params]


@pytest.mark.parametrize("page", api.PAGES)
def test_a_generated_page_is_current(page):
    current = (DOCS / page).read_text() == api.PAGES[page]()
    assert current, f"docs/{page} is out of date: run `make docs`"


def test_every_public_name_has_a_group():
    others = ", ".join(entry.name for entry in api.entries().get(api.OTHER, []))
    assert not others, f"{others}: add it to a group in GROUPS of docs/api.py, then run `make docs`"
    grouped = [name for names in api.GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped)), "a name is in two groups of docs/api.py"
    assert {name for name in grouped if "." not in name} == set(labelaudit.__all__)


def test_each_group_has_an_example_that_runs(few_digits, tmp_path, monkeypatch):
    assert list(api.EXAMPLES) == list(api.GROUPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app_session, "_wait_for", lambda *_: None)
    monkeypatch.setattr(app_session, "command", lambda *_: [sys.executable, "-c", "input()"])
    truth = few_digits.view().values("ground_truth").astype(int)
    logits = 5.0 * np.eye(10)[truth]
    names = {"labelaudit": labelaudit, "np": np, "pd": pd, "my_model": lambda _: logits}
    for code in api.EXAMPLES.values():
        exec(code, names)
    assert (tmp_path / "report.html").exists()
    assert len(names["mistakes"]) == 80


def test_internal_names_exist():
    """An outdated entry in INTERNAL would hide a later public name of the same spelling."""
    found = {name: getattr(module, name) for module in _modules() for name in vars(module)}
    for name in api.INTERNAL:
        owner, _, member = name.partition(".")
        assert owner in found, name
        assert not member or member in (*dir(found[owner]), *found[owner].__annotations__), name


def _modules() -> list:
    return [module for name, module in sys.modules.items() if name.startswith("labelaudit.")]


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_docstring_exists_and_names_shapes_and_errors(entry):
    assert entry.doc, f"{entry.full} has no docstring"
    text = entry.doc + (api._fields_text(entry.value) if api.is_dataclass(entry.value) else "")
    if "ndarray" in " ".join(entry.annotations.values()):
        assert SHAPE.search(text), f"{entry.full} has arrays: give their shape, such as (n, C)"
    for error in _raised(entry):
        assert error in entry.doc, f"{entry.full} raises {error}: say when"
    if "stop" in entry.annotations:
        assert re.search(r"\bstop|`(audit|train)`", entry.doc, re.I), (
            f"{entry.full}: say what stopping does"
        )


@pytest.mark.parametrize("entry", [e for e in ENTRIES.values() if e.function])
def test_a_public_function_is_annotated(entry):
    signature = inspect.signature(entry.function)
    given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    bare = [p.name for p in given if p.annotation is p.empty]
    assert not bare, f"{entry.full}: annotate {', '.join(bare)}"
    assert signature.return_annotation is not signature.empty, f"{entry.full}: annotate the result"


def _raised(entry) -> set[str]:
    """The names of LabelAudit's errors that the function itself raises."""
    if entry.function is None:
        return set()
    tree = ast.parse(dedent(inspect.getsource(inspect.unwrap(entry.function))))
    names = {
        node.exc.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }
    return {name for name in names if hasattr(errors, name)}


def test_links_are_valid():
    pages = [*DOCS.glob("*.md"), REPO / "README.md", REPO / "SECURITY.md"]
    anchors = {page: _anchors(page) for page in pages}
    for page in pages:
        if page.name in api.PAGES:
            assert len(anchors[page]) == len(set(anchors[page])), page.name
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            if path.startswith("http"):
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors[target], f"{page.name}: {link}"


def _anchors(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return [_anchor(title) for title in re.findall(r"^#+ (.+)$", text, re.M)]


def _anchor(title: str) -> str:
    """The anchor that GitHub derives from a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(("name", "parameter"), OPTIONS, ids=[f"{n}-{p.name}" for n, p in OPTIONS])
def test_every_option_and_argument_is_explained(name, parameter):
    """In the help text, and therefore in docs/cli.md (see test_a_generated_page_is_current)."""
    command = COMMANDS[name]
    section = re.search(rf"^### {name}$.*?(?=^##|\Z)", api.cli_text(), re.M | re.S)[0]
    if isinstance(parameter, click.Option):
        assert len((parameter.help or "").split()) > 1, f"{name} {parameter.opts}: say what it does"
        assert parameter.opts[0] in section
    else:
        word = parameter.human_readable_name
        assert word in command.help, f"the help of {name} does not mention {word}"
        assert word in section


def test_every_command_is_listed_with_a_summary():
    text = click.testing.CliRunner().invoke(main, ["--help"], terminal_width=100).output
    for section, summaries in main.sections().items():
        assert f"\n{section}:\n" in text
        for name, summary in summaries.items():
            assert re.search(rf"^  {name} +{re.escape(summary)}$", text, re.M), name


def test_the_list_of_commands_matches_the_modules():
    """The list is written by hand so that `--help` imports no command."""
    for path in (REPO / "labelaudit" / "cli").glob("*.py"):
        importlib.import_module(f"labelaudit.cli.{path.stem}")
    assert set(main.commands) == set(main.list_commands())
    assert None not in COMMANDS.values()
