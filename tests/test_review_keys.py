"""The keys of the review page: defaults, changes of a reviewer, and what is refused."""

from __future__ import annotations

import json

import pytest

from labelaudit import LabelAuditError
from labelaudit.ui.review_keys import ACTIONS, BOTH, _path, change, read_keys

PETS = ["cat", "dog", "keep"]  # a class may be called as an action


def press(key: str, reviewer: str = "ann", **what) -> None:
    change(reviewer, "pets", PETS, {"kind": "key", "key": key, **what})


def test_the_defaults_have_one_key_each():
    for mode in BOTH:
        keys = [key for key, _, modes in ACTIONS.values() if mode in modes]
        assert len(keys) == len(set(keys))


def test_a_changed_key_is_kept_for_its_reviewer_and_dataset(home):
    press("J", action="accept")
    press("d", **{"class": "dog"})
    press("", **{"class": "cat"})
    press("!", action="keep")
    keys = read_keys("ann", "pets", PETS)
    assert (keys.actions["accept"], keys.actions["keep"]) == ("j", "!")
    assert keys.classes == {"dog": "d", "keep": "3"}
    assert read_keys("ann", "other", PETS).classes == {"cat": "1", "dog": "2", "keep": "3"}
    assert read_keys("ben", "pets", PETS).actions["accept"] == "a"
    press("1", **{"class": "dog"})  # free since cat has none
    press("2", action="unsure")  # then no class has it by default
    assert read_keys("ann", "pets", PETS).classes == {"dog": "1", "keep": "3"}
    assert read_keys("ann", "pets", ["rat", "cow"]).classes == {"rat": "1"}
    press("d", **{"class": "dog"})
    change("ann", "other", PETS, {"kind": "key", "key": "d", "action": "undo"})
    keys = read_keys("ann", "pets", PETS)  # the action has the key in all datasets
    assert (keys.problem, keys.actions["undo"], keys.classes) == ("", "d", {"keep": "3"})
    change("ann", "pets", PETS, {"kind": "reset_keys"})
    assert read_keys("ann", "pets", PETS) == read_keys("ben", "pets", PETS)


@pytest.mark.parametrize(
    ("key", "what", "why"),
    [
        ("x", {"action": "accept"}, "X is the key of 'remove the image' already"),
        ("1", {"action": "accept"}, "1 is the key of 'cat' already"),
        ("k", {"class": "keep"}, "K is the key of 'keep the label' already"),
        ("s", {"class": "cat"}, "S is the key of 'similar images' already"),
        ("?", {"action": "accept"}, "always shows the keys"),
        (" ", {"action": "accept"}, "cannot be a key"),
        ("Enter", {"action": "accept"}, "'Enter' cannot be a key"),
        ("j", {"class": "cow"}, "does not exist any more"),
    ],
)
def test_what_cannot_be_a_key_is_refused(home, key, what, why):
    with pytest.raises(LabelAuditError, match=why):
        press(key, **what)
    assert read_keys("ann", "pets", PETS) == read_keys("ben", "pets", PETS)


def test_actions_of_different_modes_may_have_one_key(home):
    press("f", action="select")
    assert read_keys("ann", "pets", PETS).actions["select"] == "f"
    with pytest.raises(LabelAuditError, match="F is the key of 'full screen' already"):
        press("f", action="undo")


@pytest.mark.parametrize("text", ["{", '{"actions": 3, "classes": {}}', "[]", "{}"])
def test_a_damaged_file_gives_the_defaults_and_says_so(home, text):
    press("j", action="accept")
    _path("ann").write_text(text)
    keys = read_keys("ann", "pets", PETS)
    assert keys.actions["accept"] == "a"
    assert "reset them" in keys.problem
    with pytest.raises(LabelAuditError, match="reset them"):
        press("j", action="accept")
    change("ann", "pets", PETS, {"kind": "reset_keys"})
    assert not read_keys("ann", "pets", PETS).problem


def test_two_actions_of_one_key_in_the_file_are_not_used(home):
    press("j", action="accept")
    stored = json.loads(_path("ann").read_text())
    _path("ann").write_text(json.dumps({**stored, "actions": {"accept": "j", "keep": "j"}}))
    assert read_keys("ann", "pets", PETS).problem
