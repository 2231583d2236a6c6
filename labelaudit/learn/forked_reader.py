"""Reads images on behalf of a forked process.

LanceDB may crash or hang in a forked process, because its threads and the locks that they
held do not survive a fork. So another process, which is started and not forked, reads the images.
This module is also the program of that process: it answers requests until its input ends.
"""

from __future__ import annotations

import subprocess
import sys
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from ..core import errors
from ..core.errors import LabelAuditError
from ..core.subprocess_env import command, environment
from ..dataset.columns import Frame
from ..storage.tables import Store

COLUMNS = ["filepath", "image"]


def read_images(frame: Frame, ids: np.ndarray) -> pa.Table:
    """Return file paths and stored image bytes of these ids, in this order."""
    return frame.take("samples", frame.positions(ids), COLUMNS).select(COLUMNS)


class ForkedReader:
    """`read_images` for a forked process. The reading process ends with its parent."""

    def __init__(self, name: str, uri: str) -> None:
        self._process = subprocess.Popen(
            command("learn.forked_reader", name, uri),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
        )

    def __call__(self, ids: np.ndarray) -> pa.Table:
        try:
            _send(self._process.stdin, np.asarray(ids, np.int64).tobytes())
            kind, answer = self._process.stdout.read(1), _receive(self._process.stdout)
        except (OSError, EOFError) as error:
            raise LabelAuditError(
                "the process that reads images for a forked DataLoader worker has ended (exit "
                f"status {self._process.wait()}): begin the epoch again, or use "
                'multiprocessing_context="forkserver".'
            ) from error
        if kind == b"!":
            name, _, message = answer.decode().partition("\n")
            raise getattr(errors, name)(message)
        return pa.ipc.open_stream(answer).read_all()


def _send(pipe: BinaryIO, content: bytes) -> None:
    pipe.write(len(content).to_bytes(8, "little") + content)
    pipe.flush()


def _receive(pipe: BinaryIO) -> bytes:
    """Raises EOFError if the other side has ended."""
    length = pipe.read(8)
    content = pipe.read(int.from_bytes(length, "little"))
    if len(length) < 8 or len(content) < int.from_bytes(length, "little"):
        raise EOFError
    return content


def _answer(frame: Frame, ids: np.ndarray) -> tuple[bytes, bytes]:
    try:
        table = read_images(frame, ids)
    except LabelAuditError as error:
        return b"!", f"{type(error).__name__}\n{error}".encode()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return b"=", sink.getvalue().to_pybytes()


def main(name: str, uri: str) -> None:
    """Answer requests for images of a dataset, from standard input to standard output."""
    frame = Frame(Store(name, uri))
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # keeps printed text out of the answers
    while True:
        try:
            ids = np.frombuffer(_receive(sys.stdin.buffer), np.int64)
        except EOFError:
            return
        kind, content = _answer(frame, ids)
        answers.write(kind)
        _send(answers, content)


if __name__ == "__main__":
    main(*sys.argv[1:])
