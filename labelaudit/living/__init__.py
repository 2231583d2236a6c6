"""Datasets that change: the gate for pipelines, following a source, and giving labels back."""

from __future__ import annotations

from .accepted import accept, read_accepted
from .arrivals import added_since
from .gate import GateResult, check_labels
from .sync import apply_sync
from .sync_plan import SyncPlan, plan_sync

__all__ = [
    "GateResult",
    "SyncPlan",
    "accept",
    "added_since",
    "apply_sync",
    "check_labels",
    "plan_sync",
    "read_accepted",
]
