"""A note per sample: text that reviewers write beside an image, in the own field `note`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import BadInputError
from ..dataset import own_fields
from ..dataset.columns import Frame
from ..dataset.dataset import Dataset
from ..dataset.expression import F
from ..dataset.own_fields import TEXT, FieldInfo
from ..dataset.view import View

NOTE = "note"  # name of the own field; it is added with the first note
NOTE_LENGTH = 2_000  # characters


def write_note(dataset: Dataset, sample: int, text: str, seen: str) -> None:
    """Store the note of a sample; "" deletes it. It is durable when this returns.

    seen: the note that the writer was shown, "" for none. Notes are values of the text field `note`
    (see `Dataset.add_field`), which is added with the first one.
    Raises BadInputError, and stores nothing, if the note is not `seen` by now, is longer than
    NOTE_LENGTH characters, or if the dataset has a field `note` of another kind; NotFoundError for
    an unknown id.
    """
    text = text.replace("\r\n", "\n").strip()
    if len(text) > NOTE_LENGTH:
        raise BadInputError(
            f"the note on sample {sample} has {len(text):,} characters: shorten it to "
            f"{NOTE_LENGTH:,}."
        )
    frame = dataset.view().frame
    with frame.transaction():
        now = notes_of(frame, [sample])[0]
        if now not in (seen, text):
            raise BadInputError(
                f"the note on sample {sample} was changed in another window ({now or 'deleted'}): "
                "look at it again, then leave yours to store it."
            )
        if now != text:
            own_fields.add(frame, NOTE, TEXT)
            own_fields.set_values(frame, NOTE, [sample], text or None)


def notes_of(frame: Frame, ids: Sequence[int] | np.ndarray) -> list[str]:
    """Return the note of each sample; "" for none. ids: int (n,)."""
    field = note_field(frame)
    if field is None:
        return [""] * len(ids)
    values = own_fields.values(frame, field, frame.positions(np.asarray(ids, np.int64)))
    return [value or "" for value in values]


def note_field(frame: Frame) -> FieldInfo | None:
    """Return the field of the notes; None if no note was written yet."""
    field = own_fields.own_fields(frame).get(NOTE)
    return field if field and field.kind == TEXT else None


def with_note(view: View) -> View:
    """Select the samples that have a note."""
    if note_field(view.frame) is None:
        return view.select([])
    return view.match((F(NOTE) != None) & (F(NOTE) != ""))  # noqa: E711
