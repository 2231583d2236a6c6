"""Objects that other packages register through entry points."""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any


@lru_cache
def load_plugins(group: str, *types: type) -> dict[str, Any]:
    """Return the objects registered in an entry point group, by entry point name, sorted.

    An entry point that cannot be loaded, or is not an instance of one of `types`, is ignored with a
    warning: a broken package must not break the rest. The result is cached for the process.
    """
    plugins: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            value = entry.load()
        except Exception as error:
            _warn(group, entry, f"cannot be loaded ({type(error).__name__}: {error})")
            continue
        if isinstance(value, types):
            plugins[entry.name] = value
        else:
            _warn(group, entry, f"is not a {' or '.join(kind.__name__ for kind in types)}")
    return plugins


def _warn(group: str, entry, problem: str) -> None:
    warnings.warn(
        f"entry point {entry.name!r} of the group {group!r} is ignored: {entry.value} {problem}.",
        stacklevel=3,
    )
