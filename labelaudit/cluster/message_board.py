"""What workers and driver tell each other while they work: how far they are, and to stop."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import Task, stopped

TELL_SECONDS = 0.25  # a worker tells at most this often …
LOOK_SECONDS = 0.1  # … and the driver looks
CAUSES = 20  # an error within an error, at most
SAID = 300  # characters of what Ray says


class Board:
    """An actor on the driver's node: what the workers have done, and whether they are to stop."""

    def __init__(self) -> None:
        self.done, self.example, self.report, self.stopped = 0, "", None, False
        self.failure: LabelAuditError | None = None

    def tell(self, done: int = 0, example: str = "", report: dict | None = None) -> bool:
        """Add to what is done. Returns whether to stop. report: the latest, as Progress.to_dict."""
        self.done += done
        self.example = self.example or example
        self.report = report or self.report
        return self.stopped

    def look(self) -> tuple[int, str, dict | None]:
        return self.done, self.example, self.report

    def stop(self) -> None:
        self.stopped = True

    def fail(self, failure: LabelAuditError) -> None:
        """Say why the work cannot be done, by whoever does it."""
        self.failure = self.failure or failure

    def failed(self) -> LabelAuditError | None:
        return self.failure


class Asker:
    """A worker's end of the board, for a work that ends by itself after a stop."""

    def __init__(self, board) -> None:
        self._board, self._asked, self._stop = board, 0.0, False

    def __call__(self) -> bool:
        """Whether to stop."""
        import ray

        if not self._stop and time.monotonic() - self._asked >= TELL_SECONDS:
            self._stop = ray.get(self._board.tell.remote())
            self._asked = time.monotonic()
        return self._stop


@contextmanager
def telling(board) -> Iterator[None]:
    """What goes wrong within it, in our words, is on the board: Ray passes on only a text."""
    import ray

    try:
        yield
    except StoppedError:
        raise
    except LabelAuditError as error:
        ray.get(board.fail.remote(error))
        raise


class Teller:
    """A worker's end of the board."""

    def __init__(self, board) -> None:
        self._board, self._waiting, self._told = board, 0, 0.0

    def __call__(self, count: int, example: str = "") -> None:
        """Add to what is done. Raises StoppedError where a stop was asked for."""
        self._waiting += count
        if example or time.monotonic() - self._told >= TELL_SECONDS:
            self.now(example)

    def now(self, example: str = "") -> None:
        import ray

        count, self._waiting = self._waiting, 0
        stop = ray.get(self._board.tell.remote(count, example))
        self._told = time.monotonic()
        if stop:
            raise StoppedError("the driver asked to stop.")


def new_board():
    """On the driver's node: the loss of another one does not matter to it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()


def watched(
    work: Callable, board, heard: Callable[[int, dict | None], None], task: Task,
    work_name: str | None,
):  # fmt: skip
    """What `work` returns, which waits for the workers. Meanwhile a thread calls `heard` with what
    is done and the latest report, and passes a stop on to the board. An error comes out in the
    words of ours that caused it; after a stop StoppedError is
    raised, which names the work, unless work_name is None."""
    import ray

    over, asked = threading.Event(), threading.Event()

    def watch() -> None:
        known = None
        while not over.wait(LOOK_SECONDS):
            if not asked.is_set() and task.stop():
                asked.set()
                board.stop.remote()
            done, _, report = ray.get(board.look.remote())
            if (done, report) != known:
                known = done, report
                heard(done, report)

    def watch_quietly() -> None:
        with suppress(Exception):  # the cluster is gone: `work` says so
            watch()

    thread = threading.Thread(target=watch_quietly, daemon=True)
    thread.start()
    result, failure = None, None
    try:
        result = work()
    except Exception as error:
        with suppress(Exception):  # the cluster is gone
            failure = ray.get(board.failed.remote())
        failure = failure or plainly(error)
    finally:
        over.set()
        thread.join()
    if asked.is_set() and work_name:
        failure = stopped(work_name)
    if failure:  # out of reach of Ray's own error, which holds on to the workers
        gc.collect()
        raise failure
    return result


def plainly(error: Exception) -> Exception:
    """The error in our own words that is at the bottom of one of Ray's, or what is there instead;
    one that is not Ray's is returned as it is."""
    waiting, seen, bottom = [error], set(), error
    while waiting and len(seen) < CAUSES:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        inner = getattr(one, "cause", None)
        if isinstance(one, LabelAuditError) and inner is None:
            return type(one)(*one.args)
        bottom = inner or bottom
        waiting += [inner, one.__cause__, one.__context__]
        waiting += list(getattr(one, "worker_failures", {}).values())
    if not type(error).__module__.startswith("ray."):
        return error
    said = (str(bottom).strip().splitlines() or [""])[0][:SAID]
    return LabelAuditError(
        f"the Ray cluster could not do it ({type(bottom).__name__}: {said}): its logs under "
        "/tmp/ray tell more."
    )
