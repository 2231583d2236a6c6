"""Removes versions of a table that no snapshot needs any more."""

from __future__ import annotations

import time
from datetime import timedelta

COMMITS_BEFORE_COMPACTION = 50  # each small commit leaves three files
# No reader needs an older snapshot longer than this.
KEPT = timedelta(hours=1)
AMBIGUITY = timedelta(hours=2)  # LanceDB tells local times: one hour of a year occurs twice
_FOREVER = timedelta(days=36_500)


def is_due(version: int) -> bool:
    """Return whether a table should be compacted at this version."""
    return version % COMMITS_BEFORE_COMPACTION == 0


def compact(handle) -> None:
    """Merge the small files of a table. It removes nothing: until the commit, the snapshot names an
    earlier version.

    handle: a LanceDB table, here and below.
    """
    handle.optimize(cleanup_older_than=_FOREVER)


def remove_old_versions(handle, committed: int, unverified: bool = False) -> None:
    """Remove the versions that were replaced more than KEPT ago; `committed`, the one in the
    current snapshot, and later ones always stay, whatever the clock says.

    A version is needed until some time after the next one exists, so the age of the next one
    counts. unverified: also files of no version, which killed processes left. Needs the lock.
    """
    now, keep = time.time(), None
    for version in sorted(handle.list_versions(), key=lambda version: version["version"]):
        written = version["timestamp"].timestamp()
        is_old = written < now - KEPT.total_seconds()
        if version["version"] <= committed and (keep is None or is_old):
            keep = written
    if keep is not None:
        age = timedelta(seconds=max(now - keep, KEPT.total_seconds())) + AMBIGUITY
        handle.optimize(cleanup_older_than=age, delete_unverified=unverified)
