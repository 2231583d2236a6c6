"""The lease that keeps writers on several machines apart, on a store in memory."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from labelaudit import LabelAuditError
from labelaudit.storage import lease, object_store
from labelaudit.storage.lease import HeldError, Lease


def is_held(uri: str) -> bool:
    """Return whether someone holds this lease, or died while holding it."""
    found = object_store.read(uri)
    return found is not None and bool(lease._parse(found[0]).get("held"))


@pytest.fixture
def uri(bucket):
    return f"{bucket}/home/locks/small.json"


@pytest.fixture
def make_lease(uri):
    """A new lease on the same object, as another process would have. Released after the test, so
    that no thread continues to renew it."""
    created: list[Lease] = []

    def make() -> Lease:
        created.append(Lease(uri))
        return created[-1]

    yield make
    for each in created:
        each.release()


@pytest.fixture
def cut_off(monkeypatch):
    """Leases are not renewed, as if their holder had died or lost the network."""
    monkeypatch.setattr(lease, "RENEWALS", 1e-6)


def test_a_free_lease_is_taken_and_given_back(uri, make_lease):
    own = make_lease()
    assert not is_held(uri)
    for _ in range(2):  # the second time it knows the object's ETag
        own.acquire(1)
        assert own.is_sure
        assert is_held(uri)
        own.release()
        assert not own.is_sure
        assert not is_held(uri)


def test_a_held_lease_names_its_holder(uri, make_lease):
    make_lease().acquire(1)
    with pytest.raises(HeldError, match="process"):
        make_lease().acquire(0.1)


def test_a_lease_is_renewed_for_as_long_as_it_is_held(uri, make_lease, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY", 2.0)
    monkeypatch.setattr(lease, "RENEWALS", 20)  # some may be late on a busy machine
    own = make_lease()
    own.acquire(1)
    before = object_store.read(uri)
    with pytest.raises(HeldError):
        make_lease().acquire(3.0)
    assert own.is_sure
    assert object_store.read(uri) != before
    own.release()


def test_an_expired_lease_is_taken_over_and_its_holder_knows(uri, make_lease, monkeypatch, cut_off):
    monkeypatch.setattr(lease, "EXPIRY", 0.2)
    dead, other = make_lease(), make_lease()
    dead.acquire(1)
    began = time.monotonic()
    other.acquire(300)
    assert time.monotonic() - began > 0.2
    assert not dead.is_sure
    monkeypatch.setattr(lease, "EXPIRY", 300.0)
    assert other.is_sure
    dead.release()  # does not touch what belongs to another
    assert is_held(uri)
    other.release()
    assert not is_held(uri)


def test_the_holders_expiry_counts_not_the_waiters(uri, make_lease, monkeypatch, cut_off):
    monkeypatch.setattr(lease, "EXPIRY", 60.0)
    make_lease().acquire(1)
    monkeypatch.setattr(lease, "EXPIRY", 0.05)
    with pytest.raises(HeldError):
        make_lease().acquire(0.5)


def test_a_holder_that_was_replaced_is_no_longer_sure(uri, make_lease, monkeypatch):
    monkeypatch.setattr(lease, "EXPIRY", 1.5)
    own = make_lease()
    own.acquire(1)
    object_store.write(uri, json.dumps({"held": True, "by": "another", "who": "x"}).encode())
    deadline = time.monotonic() + 300
    while own.is_sure:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    own.release()
    assert is_held(uri)


def test_only_one_of_many_gets_the_lease(uri, make_lease):
    inside, most = Counter(), []

    def work(_: int) -> None:
        own = make_lease()
        for _ in range(3):
            own.acquire(300)
            inside["n"] += 1
            most.append(inside["n"])
            time.sleep(0.002)
            inside["n"] -= 1
            own.release()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert most == [1] * 18


def test_a_lease_is_held_although_the_answer_to_its_write_was_lost(uri, make_lease, monkeypatch):
    own, write_if = make_lease(), object_store.write_if
    lost = iter([True])

    def loses_first_answer(uri, data, etag):
        written = write_if(uri, data, etag)
        return None if next(lost, False) else written  # as when a write is retried

    monkeypatch.setattr(object_store, "write_if", loses_first_answer)
    own.acquire(1)
    assert own.is_sure
    own.release()
    assert not is_held(own.uri)


def test_storage_that_fails_during_release_lets_the_lease_expire(
    uri, make_lease, monkeypatch, caplog
):
    own = make_lease()
    own.acquire(1)

    def fails(*_):
        raise LabelAuditError("s3://bucket cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(object_store, "write_if", fails)
        own.release()
    assert "cannot be reached" in caplog.text
    assert is_held(uri)
    assert not own.is_sure


def test_an_object_that_is_no_lease_is_replaced(uri, make_lease):
    object_store.write(uri, b"not json")
    assert not is_held(uri)
    own = make_lease()
    own.acquire(1)
    assert own.is_sure
    own.release()
