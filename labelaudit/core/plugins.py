"""Objects that other packages register through entry points: one mechanism for all registries.

A plugin must not break the rest. One that cannot be loaded is left out with a PluginWarning; one
whose code raises becomes a PluginError that names it.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .errors import LabelAuditError, PluginError, PluginWarning

PREFIX = "labelaudit."
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no fault of a plugin


@dataclass(frozen=True)
class Plugin:
    """An object that another package registers, and whether it can be used.

    kind: "scores", "sources", "exports" or "features". package: name and version of the package.
    reference: module and object. title, about: what it says of itself.
    problem: why it is left out; None if it is used.
    """

    kind: str
    name: str
    package: str
    reference: str
    title: str = ""
    about: str = ""
    problem: str | None = None
    value: Any = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        package = f" of {self.package}" if self.package else ""
        return f"plugin {self.name!r}{package} ({self.reference})"

    def guard(self, function: Callable, check: Callable | None = None) -> Guarded:
        """Return the function, with errors that name this plugin; see Guarded."""
        return Guarded(str(self), self.name, function, check)


@dataclass(frozen=True)
class Guarded:
    """A function of a plugin. It can be pickled if the function can be.

    check: called with the result and the arguments; returns the result, or raises ValueError.
    An error that is not LabelAudit's becomes a PluginError. A full disk stays an OSError.
    """

    plugin: str
    name: str
    function: Callable
    check: Callable | None = None

    def __call__(self, *args, **kwargs):
        with self._named():
            result = self.function(*args, **kwargs)
            return result if self.check is None else self.check(result, *args)

    def iterate(self) -> Iterator:
        """Yield what the function's result yields."""
        with self._named():
            yield from self.function()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (LabelAuditError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            raise PluginError(
                f"{self.plugin} failed with {_one_line(error)}. Report this to its author, or "
                "uninstall the package.",
                self.name,
            ) from error


# Checks an object and returns what to register for it, with its functions guarded. It raises
# ValueError with the problem if the object cannot be used.
Adapt = Callable[[Plugin, Any], Any]


@dataclass(frozen=True)
class Group:
    """An entry point group. types: what its objects are instances of."""

    name: str
    types: tuple[type, ...]
    adapt: Adapt

    def plugins(self) -> list[Plugin]:
        """Return all plugins of the group by name, also those that cannot be used."""
        return list(find_plugins(self))

    def values(self) -> dict[str, Any]:
        """Return the objects that can be used, by the name of their entry point."""
        return {each.name: each.value for each in find_plugins(self) if each.problem is None}


@lru_cache
def find_plugins(group: Group) -> tuple[Plugin, ...]:
    """Load the plugins of a group, once per process, and warn about those that are left out."""
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=group.name), key=lambda entry: entry.name):
        plugin = _load(group, entry, found)
        if plugin.problem is not None:
            warnings.warn(f"{plugin} is left out: {plugin.problem}.", PluginWarning, stacklevel=3)
        key = entry.name if entry.name not in found else f"{entry.name} {entry.value}"
        found[key] = plugin
    return tuple(found.values())


def _load(group: Group, entry: EntryPoint, others: dict[str, Plugin]) -> Plugin:
    source = getattr(entry, "dist", None)
    package = f"{source.name} {source.version}" if source else ""
    known = (group.name.removeprefix(PREFIX), entry.name, package, entry.value)
    try:
        value = entry.load()
    except (Exception, SystemExit) as error:
        return Plugin(*known, problem=f"it cannot be loaded ({_one_line(error)})")
    problem = _type_problem(group, value)
    if entry.name in others:
        problem = f"{others[entry.name].package or 'another plugin'} has a plugin of this name"
    if problem:
        return Plugin(*known, problem=problem)
    texts = (value.title, next(filter(None, _abouts(value)), ""))
    try:
        adapted = group.adapt(Plugin(*known), value)
    except ValueError as error:
        return Plugin(*known, *texts, problem=str(error))
    return Plugin(*known, *texts, value=adapted)


def _type_problem(group: Group, value: Any) -> str | None:
    """Return why an object cannot be one of this group; None if it can."""
    if not isinstance(value, group.types):
        return f"it is not a {' or '.join(kind.__name__ for kind in group.types)}"
    for each in fields(value) if is_dataclass(value) else ():
        given = getattr(value, each.name)
        if each.type == "str" and not isinstance(given, str):
            return f"its {each.name} is not a text: {given!r}"
        if str(each.type).startswith("Callable") and not callable(given):
            return f"its {each.name} is not a function: {given!r}"
    return None


def _abouts(value: Any) -> Iterator[str]:
    return (getattr(value, name, "") for name in ("meaning", "about", "looks"))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
