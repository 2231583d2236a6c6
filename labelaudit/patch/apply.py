"""Apply a patch to a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ..core.errors import BadInputError
from ..core.plural import counted
from ..core.progress import QUIET, Task
from ..dataset import edits, history_log
from ..dataset.columns import Frame
from ..dataset.history_log import Cause
from ..dataset.target import Target, as_dataset
from ..features.fingerprints import make_fingerprints
from ..storage.schema import REMOVED
from .matching import TRUSTED, Matches
from .parse import read_patch
from .patch_file import Patch
from .plan import PatchPlan, make_plan

MAX_WHO = 200  # characters of the names in the history


def plan_patch(
    dataset: Target,
    patch: Patch | str | os.PathLike,
    trust: Sequence[str] = (),
    read: int | None = None,
    task: Task = QUIET,
) -> PatchPlan:
    """Return what a patch would do to a dataset. Labels are not changed.

    A sample is found by its path below the common folder of all images, if the image there has the
    same pixels; else by its pixels in any place. Classes that were renamed or merged here since are
    found by their earlier names too. trust: "path" accepts the path alone, for images
    that were resized or compressed again; "id" accepts the id if neither is found. read: the
    maximum number of images to read for this; None for all that are needed. Each is read only once,
    because its hash is stored.
    Raises BadInputError if the patch is malformed, and StoppedError if the task is stopped.
    """
    dataset = as_dataset(dataset, "plan_patch")
    patch = patch if isinstance(patch, Patch) else read_patch(patch)
    for word in trust:
        if word not in TRUSTED:
            raise BadInputError(f"{word!r} cannot be trusted: give {' or '.join(TRUSTED)}.")
    frame = dataset.view().frame
    for _ in range(2):  # if a path has another image, all images are searched in a second round
        with frame.steady():
            unread = Matches(frame, patch.changes, trust).unread
        if read is not None and len(unread) > read:
            break
        make_fingerprints(frame, task, unread)  # outside of steady(), which would hide its results
        unread = unread[:0]  # images without a fingerprint now cannot be read
    with frame.steady():
        return make_plan(frame, patch.changes, trust, len(unread))


def apply_patch(
    dataset: Target,
    patch: Patch | str | os.PathLike,
    *,
    trust: Sequence[str] = (),
    add_classes: bool = False,
    who: str | None = None,
    shown: PatchPlan | None = None,
    task: Task = QUIET,
) -> PatchPlan:
    """Apply what `plan_patch` returns in one commit: relabel, and tag `removed`. Returns the plan.

    Applying a patch again changes nothing. `labelaudit.return_to` reverts it. add_classes: add
    missing classes to the dataset; otherwise a patch that needs them is rejected. who: the name in
    the history, by default the names in the patch. shown: the plan that the user confirmed.
    Raises BadInputError, and changes nothing, if the plan is no longer the one shown;
    StoppedError if the task is stopped while images are read. The change itself is atomic.
    """
    dataset = as_dataset(dataset, "apply_patch")
    patch = patch if isinstance(patch, Patch) else read_patch(patch)
    expected = shown or plan_patch(dataset, patch, trust, task=task)
    frame = dataset.view().frame
    with frame.transaction():
        plan = make_plan(frame, patch.changes, trust, 0)
        if not plan.equals(expected):
            raise BadInputError(
                "labels changed since the preview of this patch: look at the new preview, then "
                "apply it."
            )
        if plan.new_classes and not add_classes:
            raise BadInputError(
                f"{patch.name} uses {counted(len(plan.new_classes), 'class')} that dataset "
                f"{dataset.name!r} does not have ({_shorten(plan.new_classes)}): add them with "
                "--add-classes, or remove these lines from the patch."
            )
        _apply(frame, plan, patch.name, who)
    return plan


def _apply(frame: Frame, plan: PatchPlan, file: str, who: str | None) -> None:
    ids = np.union1d(plan.relabel, plan.remove)
    labels = frame.label[frame.positions(ids)].copy()
    labels[np.searchsorted(ids, plan.relabel)] = plan.after
    removed = np.isin(ids, plan.remove)

    def edit(rows: edits.EditedRows) -> None:
        rows.set_label(labels)
        rows.set_tag(REMOVED, rows.tags.get(REMOVED, np.zeros(len(ids), bool)) | removed)

    info = {
        "relabelled": len(plan.relabel),
        "removed": len(plan.remove),
        "file": file,
        "by": plan.by,
        "applied_by": history_log.user(),
    }
    names = ", ".join(plan.by)
    names = names if len(names) <= MAX_WHO else names[: MAX_WHO - 1] + "…"
    edits.change(frame, ids, edit, Cause(history_log.PATCH, who or names, info), plan.new_classes)


def _shorten(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (" …" if len(names) > 5 else "")
