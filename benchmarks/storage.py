"""What the storage design rests on: opening tables at a version, swapping a pointer, cleaning up.

    python benchmarks/storage.py    # local disk, then the tests' S3 server with 20 ms a request

Times are medians in milliseconds; on S3 also the number of requests.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import lancedb
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
ROW = pa.table({"id": [1], "text": ["x" * 100]})
LATENCY = 20.0  # ms a request


def main() -> None:
    print("\nlocal disk")
    with tempfile.TemporaryDirectory() as folder:
        measure(folder, lambda: 0)
        pointer(folder)
    from s3_server import S3Server

    server = S3Server()
    os.environ |= server.environment
    print(f"\nS3, {LATENCY:g} ms a request")
    measure("s3://bucket/x", lambda: sum(server.counts().values()), server)
    server.close()


def timed(title: str, act, requests, times: int = 5) -> None:
    took, asked = [], []
    for _ in range(times):
        requests()
        began = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - began))
        asked.append(requests())
    print(f"{title:52} {statistics.median(took):8.2f} ms  {statistics.median(asked):4.0f} requests")


def measure(uri: str, requests, server=None) -> None:
    db = lancedb.connect(uri)
    for i in range(60):
        db.create_table(f"t{i}", ROW)
    for i in range(60):
        db.open_table(f"t{i}").add(ROW)
    log = db.create_table("log", ROW)
    for _ in range(1000 if server is None else 200):
        log.add(ROW)
    old = log.version
    if server is not None:
        server.latency = LATENCY

    def open_tables(count: int, version=None):
        def act():
            for i in range(count):
                db.open_table(f"t{i}", version=version)

        return act

    for count in (10, 60):
        timed(f"open {count} tables, latest", open_tables(count), requests)
        timed(f"open {count} tables at an earlier version", open_tables(count, 1), requests)
    timed(f"open a log of {old:,} versions, latest", lambda: db.open_table("log"), requests)
    timed("open it at version 5", lambda: db.open_table("log", version=5), requests)
    timed("append a row: opened anew", lambda: db.open_table("log").add(ROW), requests)
    log = db.open_table("log")
    timed("append a row: same handle", lambda: log.add(ROW), requests)
    timed("restore version 5 of it", lambda: db.open_table("log").restore(5), requests)
    timed("count the rows of a new handle", lambda: db.open_table("t3").count_rows(), requests)
    if server is not None:
        server.latency = 0.0
    reader = db.open_table("log", version=old)
    rows = reader.count_rows()
    db.open_table("log").optimize(cleanup_older_than=timedelta(hours=1))
    assert reader.count_rows() == len(reader.to_arrow()) == rows
    assert db.open_table("log", version=old).count_rows() == rows
    print("a version named elsewhere outlives a clean-up that keeps an hour")
    db.open_table("log").optimize(cleanup_older_than=timedelta(0))
    try:
        db.open_table("log", version=old)
        print("it also outlives a clean-up that keeps nothing")
    except (ValueError, RuntimeError):
        print("it does not outlive a clean-up that keeps nothing")


def pointer(folder: str) -> None:
    for count in (10, 60):
        text = json.dumps({f"table-{i}": [i, f"{i:08x}"] for i in range(count)}).encode()
        path = Path(folder, "pointer")

        def swap(sync: bool, text=text, path=path):
            with open(f"{path}.new", "wb") as file:
                file.write(text)
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.replace(f"{path}.new", path)
            if sync:
                descriptor = os.open(folder, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)

        timed(f"swap a pointer of {count} tables", lambda: swap(False), lambda: 0, 50)
        timed(f"swap a pointer of {count} tables, fsync", lambda: swap(True), lambda: 0, 50)
        timed(f"read a pointer of {count} tables",
              lambda path=path: json.loads(path.read_bytes()), lambda: 0, 50)  # fmt: skip


if __name__ == "__main__":
    main()
