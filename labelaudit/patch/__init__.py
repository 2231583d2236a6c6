"""Patches: a small, readable file of label changes that fits any copy of a dataset.

May import: review, ranking, export, features, dataset, storage, scores and core.
"""

from .apply import apply_patch, plan_patch
from .create import APPLIED, VERDICTS, make_patch, write_patch
from .matching import ID, PATH
from .merge import Conflict, merge_patches
from .parse import parse_patch, read_patch
from .patch_file import KEEP, RELABEL, REMOVE, SUFFIX, Change, Patch
from .plan import PatchPlan, Unfit

__all__ = [
    "APPLIED",
    "ID",
    "KEEP",
    "PATH",
    "RELABEL",
    "REMOVE",
    "SUFFIX",
    "VERDICTS",
    "Change",
    "Conflict",
    "Patch",
    "PatchPlan",
    "Unfit",
    "apply_patch",
    "make_patch",
    "merge_patches",
    "parse_patch",
    "plan_patch",
    "read_patch",
    "write_patch",
]
