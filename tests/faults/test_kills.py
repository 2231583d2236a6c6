"""kill -9, again and again: what was acknowledged is there, an operation happened or did not, and
nothing is left behind. About 20 kills; LABELAUDIT_FAULTS=200 (`make test-faults`) for as many as
that, with a table."""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import dataclass

import killing
import operations
import pytest
from operations import NAME, OPERATIONS

pytestmark = pytest.mark.system

KILLS = int(os.environ.get("LABELAUDIT_FAULTS", 0))
SEED = int(os.environ.get("LABELAUDIT_FAULTS_SEED", 8))
# In the short mode: those that write more than one thing, at a point drawn by the seed.
SHORT = [
    "load", "noise", "train", "predict", "score", "verdicts", "apply", "patch apply", "export",
    "first look", "duplicates", "add samples",
]  # fmt: skip


@dataclass
class Reference:
    """An operation that was not killed."""

    after: dict
    seconds: float
    points: list[str]


@pytest.fixture(scope="module")
def table():
    """Outcomes by operation; printed at the end of the long mode."""
    rows: dict[str, Counter] = {}
    yield rows
    if KILLS:
        columns = ("kills", "at the commit", "state before", "state after", "repeated ok")
        print(f"\n\n{'operation':16}" + "".join(f"{name:>14}" for name in columns))
        for name, row in rows.items():
            print(f"{name:16}" + "".join(f"{row[column]:14,}" for column in columns))
        total = sum(rows.values(), Counter())
        print(f"{'all':16}" + "".join(f"{total[column]:14,}" for column in columns))


@pytest.mark.timeout(3600 if KILLS else 900)
@pytest.mark.parametrize("name", list(OPERATIONS) if KILLS else SHORT)
def test_a_kill_leaves_the_state_before_or_after(name, prepared, tmp_path, table, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("LABELAUDIT_HOME", str(folder))
    killing.copy(prepared, folder)
    before = operations.everything()
    whole = killing.run(folder, name)
    assert whole.error is None
    reference = Reference(operations.everything(), whole.seconds, whole.points)
    assert reference.after != before
    rng = random.Random(f"{SEED} {name}")
    table[name] = Counter()
    for at, after in _moments(reference, rng):
        killing.copy(prepared, folder)
        killed = killing.run(folder, name, at, after)
        if killed.killed:
            table[name]["kills"] += 1
            table[name]["at the commit"] += at in _commits(reference)
            _check(folder, name, before, reference, killed, table[name])


def _commits(reference: Reference) -> list[int]:
    """The points of a commit: all but `current` is written, it is replaced, it has been."""
    around = ("swap", killing.COMMITS, killing.COMMITTED)
    return [n for n, point in enumerate(reference.points, 1) if point in around]


def _moments(reference: Reference, rng: random.Random):
    """Where to kill: (point, None) or (None, seconds)."""
    points = range(1, len(reference.points) + 1)
    if not KILLS:
        return [(rng.choice(points), None), (None, rng.random() * reference.seconds)]
    share = -(-KILLS // len(OPERATIONS)) + 2  # a random one may come too late
    commits = _commits(reference)
    some = rng.sample(commits, min(len(commits), share // 3))
    others = [n for n in points if n not in some]
    some += rng.sample(others, min(len(others), share // 3))
    count = share - len(some)
    random_moments = [(None, rng.random() * reference.seconds) for _ in range(count)]
    return [(n, None) for n in some] + random_moments


def _check(folder, name, before, reference, killed, row) -> None:
    state = operations.everything()
    if name == "verdicts":
        _check_verdicts(state, before, reference.after, killed.said)
        row["state before" if state == before else "state after"] += 1
    else:
        _same(state, before if state == before else reference.after)
        done = state != before or state == reference.after
        row["state after" if done else "state before"] += 1
        if OPERATIONS[name].repeats or not done:
            repeated = killing.run(folder, name)
            assert repeated.error is None
            _same(operations.everything(), reference.after)
    row["repeated ok"] += 1
    killing.run(folder, "tidy")
    assert operations.orphans() == []


def _same(state: dict, wanted: dict) -> None:
    """Fail with the first difference unless both are equal."""
    for name in wanted:
        if isinstance(wanted[name], dict) and isinstance(state.get(name), dict):
            for part, value in wanted[name].items():
                assert state[name][part] == value, f"{part} of {name}"
    assert state == wanted


def _check_verdicts(state: dict, before: dict, after: dict, said: list[int]) -> None:
    """The log is a prefix of the complete log, and contains everything that was acknowledged."""
    own, whole = state[NAME]["verdicts"], after[NAME]["verdicts"]
    for column, wanted in zip(own, whole, strict=True):
        assert column == wanted[: len(column)]
    assert set(said) <= set(own[1])
    others = {part: value for part, value in state[NAME].items() if part != "verdicts"}
    assert others == {part: value for part, value in before[NAME].items() if part != "verdicts"}
