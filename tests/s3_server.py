"""An S3 server on 127.0.0.1 for tests and benchmarks: moto's, with its requests counted.

python tests/s3_server.py    # runs one until stdin ends; its first line is the address
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs

from moto.server import ThreadedMotoServer

BUCKET = "bucket"
COUNTS = "/counts"  # tells, and forgets, what was counted; ?latency=20 sets the latency


@dataclass(frozen=True)
class Request:
    kind: str  # LIST, or the method
    path: str
    bytes: int  # of the answer, without its headers


class S3Server:
    """Records all requests since `requests` was cleared."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.requests: list[Request] = []
        self.latency = 0.0  # milliseconds that each request waits for its answer
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.address = f"http://{host}:{port}"
        self._app, self._lock = self._server._server.app, threading.Lock()
        self._server._server.app = self._counted
        self.put(f"/{BUCKET}")

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables for using it."""
        return {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1", "AWS_ENDPOINT": self.address, "AWS_ALLOW_HTTP": "true",
        }  # fmt: skip

    def put(self, path: str, data: bytes | None = None, method: str = "PUT") -> None:
        headers = {"Content-Type": "text/plain"}
        asked = urllib.request.Request(self.address + path, data, headers, method=method)
        urllib.request.urlopen(asked).close()

    def close(self) -> None:
        self._server.stop()

    def counts(self) -> Counter:
        """Return the number of requests of each kind since the last call."""
        with self._lock:
            found, self.requests = self.requests, []
        return Counter(request.kind for request in found)

    def _counted(self, environ, start_response):
        if environ["PATH_INFO"] == COUNTS:
            with self._lock:
                found, self.requests = self.requests, []
            if environ["QUERY_STRING"]:
                self.latency = float(parse_qs(environ["QUERY_STRING"])["latency"][0])
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([asdict(request) for request in found]).encode()]
        time.sleep(self.latency / 1000)
        size = 0

        def start(status, headers, *more):
            nonlocal size
            size = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
            return start_response(status, headers, *more)

        answer = self._app(environ, start)
        kind = environ["REQUEST_METHOD"]
        listing = kind == "GET" and "list-type" in environ.get("QUERY_STRING", "")
        kind, size = "LIST" if listing else kind, 0 if kind == "HEAD" else size
        with self._lock:
            self.requests.append(Request(kind, environ["PATH_INFO"], size))
        return answer


if __name__ == "__main__":
    server = S3Server()
    print(json.dumps(server.environment), flush=True)
    sys.stdin.read()
    server.close()
