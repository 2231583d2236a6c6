"""What import-linter's contracts in pyproject.toml cannot say."""

from __future__ import annotations

import ast
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
OPTIONAL = {"ray", "lance_ray", "lance"}


def test_optional_packages_are_imported_inside_functions():
    """Ray is an extra that takes seconds to import."""
    for path in (REPO / "labelaudit" / "cluster").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not OPTIONAL & {name.split(".")[0] for name in names}, f"{path}:{node.lineno}"


def test_pages_lie_in_sub_folders():
    """Streamlit runs a file that lies directly in pages/ without app.py on a deep link."""
    assert not list((REPO / "pages").glob("*.py"))


def test_each_folder_says_what_it_holds():
    for path in (REPO / "labelaudit").glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path
