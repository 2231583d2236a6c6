"""Datasets that change: the gate for pipelines, following a source, and giving labels back."""

from __future__ import annotations

from .accepted import accept, read_accepted
from .gate import GateResult, check_labels

__all__ = ["GateResult", "accept", "check_labels", "read_accepted"]
