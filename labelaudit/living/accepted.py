"""Accepted suspects: images that somebody looked at and whose label stays as it is.

They are lines of a CSV file that is meant to be kept and reviewed beside the data. A line counts
only as long as the image and its label are the same as when it was written.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.csv_cells import guard, unguard
from ..core.errors import BadInputError, NotFoundError
from ..dataset import verdict_log
from ..dataset.arrays import MISSING, as_ids, find
from ..dataset.class_names import former_codes
from ..dataset.columns import Frame
from ..dataset.content_hash import content_hashes
from ..dataset.dataset import Dataset
from ..dataset.history_log import user
from ..dataset.target import Target, as_dataset
from ..export.tables import open_sink
from ..patch.sample_paths import find_files, relative_paths
from ..review.opinions import opinions
from .stored_files import TABLE

FILE = "labelaudit-accepted.csv"  # default name
COLUMNS = ("path", "label", "sha256", "by", "why")
MAX_BYTES = 256 << 20
CONFLICT = re.compile(r"(<{7}|\|{7}|={7}|>{7})( |$)")  # marks of git


@dataclass(frozen=True)
class AcceptedImage:
    """One line of the file. All values are text."""

    path: str  # below the common folder of the dataset's images
    label: str
    sha256: str  # of the image file, 64 hexadecimal digits
    by: str
    why: str


def read_accepted(path: str | os.PathLike) -> list[AcceptedImage]:
    """Read a file of accepted suspects.

    Raises NotFoundError for a missing file, and BadInputError that names the line or the column.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise BadInputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: it is no such file.")
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
        names = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(f"{path} cannot be read as CSV: {error}.") from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise BadInputError(
            f"{path} has no column {missing[0]!r}: its columns must be {','.join(COLUMNS)}."
        )
    if more := [name for name in names if name not in COLUMNS]:  # `accept` would not keep it
        raise BadInputError(
            f"{path} has the column {more[0]!r}: its columns must be {','.join(COLUMNS)}."
        )
    for line, row in rows:
        if CONFLICT.match(first := row[names[0]]):
            raise BadInputError(
                f"{path}, line {line} is {first[:80]!r}: resolve the conflict that git left there."
            )
        if None in row or any(row[name] is None for name in COLUMNS):
            raise BadInputError(f"{path}, line {line}: it has more or fewer cells than the header.")
        if not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise BadInputError(
                f"{path}, line {line}: sha256 is {row['sha256'][:80]!r}, and must have 64 "
                "hexadecimal digits, 0-9 and a-f."
            )
    columns = [unguard(pa.array([row[n] for _, row in rows], pa.string())) for n in COLUMNS]
    cells = zip(*(column.to_pylist() for column in columns), strict=True)
    return [AcceptedImage(*row) for row in cells]


def accept(
    dataset: Target,
    ids: Sequence[int],
    path: str | os.PathLike = FILE,
    *,
    why: str = "",
    by: str | None = None,
) -> int:
    """Add samples to a file of accepted suspects, which is created if it does not exist.

    The lines are sorted by path, so that git shows each change as one line. An image that was moved
    keeps one line. by: by default the user
    of this machine. Returns how many lines were added or replaced. Raises NotFoundError for an id
    that does not exist, and BadInputError for a sample that has no label, or whose image cannot be
    read.
    """
    dataset = as_dataset(dataset, "accept")
    frame, chosen = dataset.view().frame, np.unique(as_ids(ids))
    with frame.steady():
        at = frame.positions(chosen)
        names, codes = relative_paths(frame, at), frame.label[at]
        hashes, classes = content_hashes(frame, chosen), frame.classes
        code_of = former_codes(frame)
    before = read_accepted(path) if os.path.exists(path) else []
    new: dict[str, AcceptedImage] = {}
    for sample, name, code, digest in zip(chosen.tolist(), names, codes, hashes, strict=True):
        if name is None or code == MISSING or digest is None:
            problem = "has no label" if code == MISSING else "has an image that cannot be read"
            problem = "has a path that cannot be written in one line" if name is None else problem
            raise BadInputError(f"sample {sample} {problem}, so it cannot be accepted.")
        line = AcceptedImage(name, classes[code], digest.hex(), by or user(), " ".join(why.split()))
        new[name] = line
    # a line of an image that was moved, or of another image at the same path, is replaced
    identity = {(line.sha256, code_of[line.label]) for line in new.values()}
    kept = [
        line
        for line in before
        if line.path not in new and (line.sha256, code_of.get(line.label)) not in identity
    ]
    after = sorted([*kept, *new.values()], key=attrgetter("path"))
    _write(path, after)
    return len(set(after) - set(before))


def _write(path: str | os.PathLike, lines: list[AcceptedImage]) -> None:
    columns = [
        guard(pa.array([getattr(line, name) for line in lines], pa.string())) for name in COLUMNS
    ]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*(column.to_pylist() for column in columns), strict=True))
    with open_sink(path) as sink:
        sink.write(text.getvalue().encode())


@dataclass(frozen=True)
class Matched:
    """Which samples accepted lines stand for."""

    ids: np.ndarray  # int64 (n,), sorted
    stale: list[tuple[str, str]]  # (path, why the line does not count)


def match_accepted(frame: Frame, lines: Sequence[AcceptedImage]) -> Matched:
    """Find the samples of accepted lines: the same image with the same label, wherever it is now.

    A class may have another name by now. Images are found by their path or their stored hash, and
    are read again.
    """
    places = find_files(frame, [line.path for line in lines])
    by_hash = _with_hashes(frame, [line.sha256 for line in lines])
    candidates = np.unique(np.array(list(chain(*places.values(), *by_hash.values())), np.int64))
    hashes = dict(zip(candidates.tolist(), content_hashes(frame, candidates), strict=True))
    labels = dict(
        zip(candidates.tolist(), frame.label[frame.positions(candidates)].tolist(), strict=True)
    )
    code_of = former_codes(frame)
    ids, stale = [], []
    for line in lines:
        found = {*places.get(line.path, ()), *by_hash.get(line.sha256, ())}
        same = [i for i in found if hashes[i] is not None and hashes[i].hex() == line.sha256]
        fits = [i for i in same if labels[i] == code_of.get(line.label)]
        ids += fits
        if not found:
            stale.append((line.path, "is not in the dataset"))
        elif not same:
            stale.append((line.path, "has another image now"))
        elif not fits:
            stale.append((line.path, f"is no longer labelled {line.label!r}"))
    return Matched(np.unique(np.array(ids, np.int64)), stale)


def _with_hashes(frame: Frame, hashes: Sequence[str]) -> dict[str, list[int]]:
    """Return the ids of the samples with these hashes, as far as hashes are stored."""
    rows = frame.read(TABLE, ["id", "sha256"])
    found: dict[str, list[int]] = {}
    if rows is None:
        return found
    kind = rows["sha256"].type
    wanted = pa.array([bytes.fromhex(text) for text in dict.fromkeys(hashes)], kind)
    rows = rows.filter(pc.is_in(rows["sha256"], value_set=wanted))
    known = find(frame.ids, rows["id"].to_numpy())[1]
    for sample, digest, exists in zip(
        rows["id"].to_pylist(), rows["sha256"].to_pylist(), known, strict=True
    ):
        if exists and digest is not None:
            found.setdefault(digest.hex(), []).append(sample)
    return found


def kept_samples(dataset: Dataset) -> np.ndarray:
    """Return the ids of the samples whose current label all reviewers keep, int64 (n,)."""
    frame = dataset.view().frame
    with frame.steady():
        said = opinions(verdict_log.read(frame))
        at, known = find(frame.ids, said.samples)
        if not len(frame.ids):
            return said.samples[:0]
        return said.samples[known & said.agreed & (said.target == frame.label[at])]
