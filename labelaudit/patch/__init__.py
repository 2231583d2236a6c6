"""Patches: a small, readable file of label changes for any copy of a dataset, and its merging."""

from .applying import PatchPlan, Unfit, apply_patch, plan_patch
from .lines import KEEP, RELABEL, REMOVE, Change, Patch, parse_patch, read_patch
from .making import APPLIED, VERDICTS, make_patch, write_patch
from .merging import Conflict, merge_patches

__all__ = [
    "APPLIED", "KEEP", "RELABEL", "REMOVE", "VERDICTS", "Change", "Conflict", "Patch",
    "PatchPlan", "Unfit", "apply_patch", "make_patch", "merge_patches", "parse_patch",
    "plan_patch", "read_patch", "write_patch",
]  # fmt: skip
