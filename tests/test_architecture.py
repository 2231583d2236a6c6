"""The house's rules, read from the imports: who may know whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
LIBRARY = REPO / "labelaudit"

# From the ground up. A room imports only rooms below it (or of its own folder).
FLOORS = [
    ["errors", "progress", "schema", "cells", "scores", "ahead", "holding", "processes"],
    ["storage", "feed"],
    ["lease", "placing"],
    ["home", "pictures", "likeness", "roots"],
    ["store"],
    ["frame"],
    ["changelog", "fields", "dynamics", "embeddings", "leftovers"],
    ["edits", "verdicts", "fingerprints"],
    ["runs"],
    ["sample", "intake", "neighbours"],
    ["gallery"],
    ["view"],
    ["dataset", "export"],
    ["duplicates", "predictions"],
    ["sources", "noise", "learn"],
    ["callbacks", "logit_scores"],
    ["rank", "history", "insights", "issues"],
    ["evidence", "review"],
    ["controls", "estimate"],
    ["cluster", "decisions"],
    ["auditing"],
    ["patch", "report"],
    ["work"],
    ["jobs"],
    ["cli"],
    ["__main__"],
    ["ui"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> list[tuple[str, int]]:
    """(dotted module, line); relative imports made absolute."""
    found = []
    package = ("labelaudit", *path.relative_to(LIBRARY).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = ".".join(package[: len(package) - node.level + 1])
                module = f"{base}.{module}" if module else base
                found += [(f"{module}.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((module, node.lineno))
    return found


FILES = sorted(path for path in LIBRARY.rglob("*.py") if path != LIBRARY / "__init__.py")


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_a_room_imports_only_rooms_below_it(path):
    own = room_of(path)
    for module, line in imports(path):
        if not module.startswith("labelaudit."):
            continue
        other = module.split(".")[1]
        if other in FLOOR and other != own:
            assert FLOOR[other] < FLOOR[own], f"{path}:{line} imports {other}, which is above it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_only_ui_knows_streamlit_and_only_store_knows_lancedb(path):
    for module, line in imports(path):
        top = module.split(".")[0]
        if top == "streamlit":
            assert room_of(path) == "ui", f"{path}:{line}"
        if top == "lancedb":
            assert room_of(path) == "store", f"{path}:{line}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_only_cluster_knows_ray_and_only_where_it_is_used(path):
    """It is an extra that takes seconds to import: no module imports it at its top."""
    extra = {"ray", "lance_ray", "lance"}
    known = [line for module, line in imports(path) if module.split(".")[0] in extra]
    assert not known or room_of(path) == "cluster", f"{path}:{known}"
    for node in ast.parse(path.read_text()).body:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not extra & {name.split(".")[0] for name in names if name}, f"{path}:{node.lineno}"


def test_scores_import_numpy_and_nothing_else_of_ours():
    allowed = {"__future__", "collections", "dataclasses", "functools", "numpy", "scipy",
               "threadpoolctl"}  # fmt: skip
    for path in (LIBRARY / "scores").glob("*.py"):
        for module, line in imports(path):
            inside = module.startswith("labelaudit.scores")
            assert inside or module.split(".")[0] in allowed, f"{path}:{line}: {module}"


def test_pages_lie_in_sub_folders():
    """A file directly in pages/ runs without app.py on a deep link."""
    assert not list((REPO / "pages").glob("*.py"))
