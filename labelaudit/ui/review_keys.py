"""The keys of the review page: one for each action and class, changed by each reviewer.

A reviewer's changes are in a small JSON file in the local home; anything else has its default.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import BadInputError
from ..core.files import atomic_write
from ..storage.paths import local_home

log = logging.getLogger(__name__)
_changing = threading.Lock()  # tabs of one reviewer

ONE, MANY = "one", "many"  # the modes of the page
BOTH = (ONE, MANY)
# Action → default key, meaning, and the modes that have it. The browser has the functions.
ACTIONS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "accept": ("a", "relabel as suggested", BOTH),
    "keep": ("k", "keep the label", BOTH),
    "remove": ("x", "remove the image", BOTH),
    "unsure": ("u", "unsure", BOTH),
    "undo": ("z", "undo", BOTH),
    "redo": ("y", "redo", BOTH),
    "note": ("n", "write a note", (ONE,)),
    "full": ("f", "full screen", (ONE,)),
    "similar": ("s", "similar images", (ONE,)),
    "offered": ("m", "images with the same wrong label", (ONE,)),
    "search": ("/", "search a class", (ONE,)),
    "go": ("g", "go to a number", (ONE,)),
    "larger": ("+", "zoom in", (ONE,)),
    "smaller": ("-", "zoom out", (ONE,)),
    "select": ("s", "select this page or none", (MANY,)),
}
NUMBER_KEYS = "1234567890"
HELP = "?"  # always shows the keys
EVENTS = ("key", "reset_keys")  # kinds of events of the browser that `change` handles


@dataclass(frozen=True)
class Keys:
    """The keys of one reviewer for one dataset. A key is "" if there is none."""

    actions: dict[str, str]  # by action
    classes: dict[str, str]  # by class; those without a key are left out
    problem: str = ""  # why the stored keys are not used
    meanings: dict[str, str] = field(
        default_factory=lambda: {name: meaning for name, (_, meaning, _) in ACTIONS.items()}
    )
    modes: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {name: modes for name, (_, _, modes) in ACTIONS.items()}
    )


def read_keys(reviewer: str, dataset: str, classes: Sequence[str]) -> Keys:
    """Return the reviewer's keys. classes: those that the dataset offers."""
    problem = ""
    try:
        own = _read(reviewer)
        actions = {name: own["actions"].get(name, row[0]) for name, row in ACTIONS.items()}
        chosen = {n: k for n, k in own["classes"].get(dataset, {}).items() if n in classes}
        # an action may have got the key while another dataset was reviewed
        chosen = {n: "" if k in actions.values() else k for n, k in chosen.items()}
        for name, key in actions.items():
            _check_free(check_key(key), actions, chosen, action=name)
        for name, key in chosen.items():
            _check_free(check_key(key), actions, chosen, label=name)
    except (BadInputError, ValueError, LookupError, AttributeError, TypeError, OSError) as error:
        log.warning("keys of reviewer %r: %s", reviewer, error)
        problem = "Your stored keys cannot be used, so these are the defaults: reset them."
        actions, chosen = {name: row[0] for name, row in ACTIONS.items()}, {}
    taken = {*actions.values(), *chosen.values()}
    defaults = {name: key for name, key in number_keys(classes).items() if key not in taken}
    keys = {name: chosen.get(name, defaults.get(name, "")) for name in classes}
    return Keys(actions, {name: key for name, key in keys.items() if key}, problem)


def number_keys(classes: Sequence[str]) -> dict[str, str]:
    """Return the default keys of the first ten classes: the digit itself if they are digits,
    otherwise their number."""
    first = classes[: len(NUMBER_KEYS)]
    are_digits = all(len(name) == 1 and name in NUMBER_KEYS for name in first)
    return {name: name if are_digits else NUMBER_KEYS[i] for i, name in enumerate(first)}


def change(reviewer: str, dataset: str, classes: Sequence[str], event: dict) -> None:
    """Store a changed key, or the defaults of all keys.

    event: of kind "key", with `action` or `class`, and `key` ("" for none); or "reset_keys".
    Raises BadInputError, and stores nothing, for a key that is taken or cannot be one.
    """
    if event["kind"] == "reset_keys":
        _path(reviewer).unlink(missing_ok=True)
        return
    with _changing:
        keys, key = read_keys(reviewer, dataset, classes), check_key(event["key"])
        if keys.problem:
            raise BadInputError(keys.problem)
        stored, action, name = _read(reviewer), event.get("action"), event.get("class")
        if action in ACTIONS:
            stored["actions"][action] = key
        elif name in classes:
            stored["classes"].setdefault(dataset, {})[name] = key
        else:
            raise BadInputError("this class does not exist any more: reload the page.")
        _check_free(key, keys.actions, keys.classes, action=action, label=name)
        path = _path(reviewer)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            text = json.dumps({"reviewer": reviewer, **stored}, ensure_ascii=False)
            part.write_text(text, "utf-8")


def check_key(key: object) -> str:
    """Return a key in lower case; "" stands for none. Raises BadInputError for any other value than
    one printable character, and for "?"."""
    if key == "":
        return ""
    if not isinstance(key, str) or len(key) != 1 or not key.isprintable() or key.isspace():
        raise BadInputError(f"{key!r} cannot be a key: use a letter, a digit or a sign.")
    if key == HELP:
        raise BadInputError("? always shows the keys: use another key.")
    return key.lower() if len(key.lower()) == 1 else key


def _check_free(
    key: str,
    actions: dict[str, str],
    classes: dict[str, str],
    *,
    action: str | None = None,
    label: str | None = None,
) -> None:
    """Raise BadInputError if another action of the same mode, or a class, has this key.

    action, label: the action or the class that is to have it.
    """
    modes = {*(ACTIONS[action][2] if action else BOTH)}
    rivals = [name for name in actions if name != action and modes & {*ACTIONS[name][2]}]
    others = [(ACTIONS[name][1], actions[name]) for name in rivals]
    others += [(name, taken) for name, taken in classes.items() if name != label]
    other = next((title for title, taken in others if key and taken == key), None)
    if other is not None:
        raise BadInputError(
            f"{key.upper()} is the key of {other!r} already: give that another key first, or none "
            "(Backspace)."
        )


def _path(reviewer: str) -> Path:
    """The file of a reviewer's keys. A name may have characters that a file name may not."""
    name = hashlib.sha256(reviewer.encode()).hexdigest()[:24]
    return local_home() / "reviewers" / f"{name}.json"


def _read(reviewer: str) -> dict:
    path = _path(reviewer)
    if not path.exists():
        return {"actions": {}, "classes": {}}
    found = json.loads(path.read_text("utf-8"))
    return {"actions": dict(found["actions"]), "classes": dict(found["classes"])}
