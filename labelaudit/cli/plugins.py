"""The command that lists plugins."""

from __future__ import annotations

from dataclasses import asdict

from ..plugin_list import plugins as installed_plugins
from .base import emit, example, json_option, main

SHOWN = ("kind", "name", "title", "about", "package", "reference", "problem")


@main.command(**example("labelaudit plugins"))
@json_option
def plugins(as_json: bool) -> None:
    """List what installed packages add: scores, sources, export formats and feature extractors.

    Plugins that cannot be used are listed with the problem.
    """
    found = installed_plugins()
    rows = [{key: asdict(each)[key] for key in SHOWN} for each in found]
    lines = []
    for row in rows:
        what = f"is left out: {row['problem']}" if row["problem"] else row["about"]
        package = f" [{row['package']}]" if row["package"] else ""
        lines.append(f"{row['kind']:9} {row['name']:18} {what}{package}")
    none = "no plugins are installed; docs/plugins.md says how to write one"
    emit(as_json, {"plugins": rows}, "\n".join(lines) or none)
