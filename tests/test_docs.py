"""The reference is current and complete: docs/api.md, docs/cli.md, and what they are made from."""

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
import pytest

import labelaudit
from labelaudit.cli import main
from labelaudit.core import errors

REPO = Path(__file__).resolve().parents[1]
DOCS = REPO / "docs"

spec = importlib.util.spec_from_file_location("docs_api", DOCS / "api.py")
api = sys.modules["docs_api"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(api)

ENTRIES = {entry.full: entry for entry in api.all_entries()}
SHAPE = re.compile(r"\((\w+(, \w+)+|\w+,)\)")
OPTIONS = [
    (name, parameter) for name, command in main.commands.items() for parameter in command.params
]


@pytest.mark.parametrize("page", api.PAGES)
def test_a_page_is_what_the_docstrings_say(page):
    current = (DOCS / page).read_text() == api.PAGES[page]()
    assert current, f"docs/{page} is behind the docstrings: run `make docs`"


def test_every_public_name_has_a_group():
    others = ", ".join(entry.name for entry in api.entries().get(api.OTHER, []))
    assert not others, f"{others}: add it to a group in GROUPS of docs/api.py, then run `make docs`"
    grouped = [name for names in api.GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped)), "a name stands in two groups of docs/api.py"
    assert {name for name in grouped if "." not in name} == set(labelaudit.__all__)


def test_what_is_internal_is_there():
    """A name that is hidden from the reference, and gone from the library, would hide the next."""
    rooms = {name: getattr(module, name) for module in _modules() for name in vars(module)}
    for name in api.INTERNAL:
        owner, _, member = name.partition(".")
        assert owner in rooms, name
        assert not member or member in (*dir(rooms[owner]), *rooms[owner].__annotations__), name


def _modules() -> list:
    return [module for name, module in sys.modules.items() if name.startswith("labelaudit.")]


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_docstring_is_there_and_names_shapes_and_errors(entry):
    assert entry.doc, f"{entry.full} has no docstring"
    told = entry.doc + (api._fields_text(entry.value) if api.is_dataclass(entry.value) else "")
    if "ndarray" in " ".join(entry.annotations.values()):
        assert SHAPE.search(told), f"{entry.full} has arrays: say their shape, such as (n, C)"
    for error in _raised(entry):
        assert error in entry.doc, f"{entry.full} raises {error}: say when"
    if "stop" in entry.annotations:
        assert re.search(r"\bstop|`(audit|train)`", entry.doc, re.I), (
            f"{entry.full}: say what a stop does"
        )


def _raised(entry) -> set[str]:
    """LabelAudit's errors that the function itself raises."""
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


def test_links_lead_somewhere():
    for page in DOCS.glob("*.md"):
        text = page.read_text()
        anchors = [
            _anchor(title)
            for title in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
        ]
        if page.name in api.PAGES:
            assert len(anchors) == len(set(anchors)), page.name
        for target in re.findall(r"\]\(([^)]+)\)", text):
            path, _, anchor = target.partition("#")
            if path.startswith("http"):
                continue
            assert not path or (page.parent / path).exists(), f"{page.name}: {target}"
            assert not anchor or path or anchor in anchors, f"{page.name}: {target}"


def _anchor(title: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@pytest.mark.parametrize(("name", "parameter"), OPTIONS, ids=[f"{n}-{p.name}" for n, p in OPTIONS])
def test_every_option_and_argument_says_what_it_is(name, parameter):
    """In the help and in docs/cli.md, which test_a_page_is_what_the_docstrings_say holds to it."""
    command = main.commands[name]
    section = re.search(rf"^### {name}$.*?(?=^##|\Z)", api.cli_text(), re.M | re.S)[0]
    if isinstance(parameter, click.Option):
        assert len((parameter.help or "").split()) > 1, f"{name} {parameter.opts}: say what it does"
        assert parameter.opts[0] in section
    else:
        word = parameter.human_readable_name
        assert word in command.help, f"the help of {name} does not tell of {word}"
        assert word in section


def test_every_command_is_listed_once_with_what_it_does():
    sections = main.sections()
    listed = [name for names in sections.values() for name in names]
    assert sorted(listed) == sorted(main.commands)
    text = click.testing.CliRunner().invoke(main, ["--help"], terminal_width=100).output
    for section, names in sections.items():
        assert f"\n{section}:\n" in text
        for name in names:
            about = main.commands[name].get_short_help_str(limit=100)
            assert re.search(rf"^  {name} +{re.escape(about)}$", text, re.M), name
            assert not about.endswith("..."), f"{name}: give it a short_help"
