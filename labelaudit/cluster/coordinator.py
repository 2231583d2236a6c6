"""Communication between workers and driver: progress, errors, and requests to stop."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ..core.errors import LabelAuditError, StoppedError
from ..core.progress import Task, stopped

REPORT_SECONDS = 0.25  # least time between two reports of a worker
POLL_SECONDS = 0.1  # time between two polls of the driver
MAX_CAUSES = 20  # errors to follow within an error
MAX_MESSAGE = 300  # characters of Ray's message to show


class Coordinator:
    """An actor on the driver's node: progress of all workers, and whether they must stop."""

    def __init__(self) -> None:
        self.done, self.example, self.report, self.stopped = 0, "", None, False
        self.failure: LabelAuditError | None = None

    def advance(self, done: int = 0, example: str = "", report: dict | None = None) -> bool:
        """Add finished units. Returns whether to stop.

        example: an image that could not be read. report: the latest, as Progress.to_dict.
        """
        self.done += done
        self.example = self.example or example
        self.report = report or self.report
        return self.stopped

    def state(self) -> tuple[int, str, dict | None]:
        """Return units done, an unreadable image, and the latest report."""
        return self.done, self.example, self.report

    def stop(self) -> None:
        self.stopped = True

    def fail(self, failure: LabelAuditError) -> None:
        """Store the error that makes the work impossible on every worker."""
        self.failure = self.failure or failure

    def failed(self) -> LabelAuditError | None:
        return self.failure


class StopCheck:
    """Asks the coordinator whether to stop, in a worker; the `stop` of a Task."""

    def __init__(self, coordinator) -> None:
        self._coordinator, self._checked, self._stop = coordinator, 0.0, False

    def __call__(self) -> bool:
        """Whether to stop."""
        import ray

        if not self._stop and time.monotonic() - self._checked >= REPORT_SECONDS:
            self._stop = ray.get(self._coordinator.advance.remote())
            self._checked = time.monotonic()
        return self._stop


@contextmanager
def errors_reported(coordinator) -> Iterator[None]:
    """Send a LabelAuditError of the body to the coordinator: Ray only passes on its text."""
    import ray

    try:
        yield
    except StoppedError:
        raise
    except LabelAuditError as error:
        ray.get(coordinator.fail.remote(error))
        raise


class ProgressReporter:
    """Reports the progress of a worker to the coordinator."""

    def __init__(self, coordinator) -> None:
        self._coordinator, self._unreported, self._reported = coordinator, 0, 0.0

    def __call__(self, count: int, example: str = "") -> None:
        """Add finished units. Raises StoppedError if the work must stop."""
        self._unreported += count
        if example or time.monotonic() - self._reported >= REPORT_SECONDS:
            self.flush(example)

    def flush(self, example: str = "") -> None:
        """Report now. Raises StoppedError if the work must stop."""
        import ray

        count, self._unreported = self._unreported, 0
        stop = ray.get(self._coordinator.advance.remote(count, example))
        self._reported = time.monotonic()
        if stop:
            raise StoppedError("the driver requested a stop.")


def new_coordinator():
    """Start a coordinator on the driver's node: the loss of another node does not end it."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Coordinator).options(num_cpus=0, scheduling_strategy=here).remote()


def run_watched(
    work: Callable,
    coordinator,
    on_progress: Callable[[int, dict | None], None],
    task: Task,
    work_name: str | None,
):
    """Return the result of `work`, which waits for the workers.

    Meanwhile a thread calls `on_progress` with the units done and the latest report, and passes a
    stop to the coordinator. Raises the LabelAuditError that caused a failure. After a stop, raises
    StoppedError with the name of the work, unless work_name is None.
    """
    import ray

    ended, stop_sent = threading.Event(), threading.Event()

    def watch() -> None:
        known = None
        while not ended.wait(POLL_SECONDS):
            if not stop_sent.is_set() and task.stop():
                stop_sent.set()
                coordinator.stop.remote()
            done, _, report = ray.get(coordinator.state.remote())
            if (done, report) != known:
                known = done, report
                on_progress(done, report)

    def watch_quietly() -> None:
        with suppress(Exception):  # if the cluster is lost, `work` raises an error
            watch()

    thread = threading.Thread(target=watch_quietly, daemon=True)
    thread.start()
    result, failure = None, None
    try:
        result = work()
    except Exception as error:
        with suppress(Exception):  # the cluster may be lost
            failure = ray.get(coordinator.failed.remote())
        failure = failure or plain_error(error)
    finally:
        ended.set()
        thread.join()
    if stop_sent.is_set() and work_name:
        failure = stopped(work_name)
    if failure:  # raised outside of the handler: Ray's own error keeps the workers alive
        gc.collect()
        raise failure
    return result


def plain_error(error: Exception) -> Exception:
    """Return the LabelAuditError that caused one of Ray's errors, or a new one with its innermost
    cause. An error that is not Ray's is returned unchanged."""
    pending, seen, innermost = [error], set(), error
    while pending and len(seen) < MAX_CAUSES:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        cause = getattr(current, "cause", None)
        if isinstance(current, LabelAuditError) and cause is None:
            return type(current)(*current.args)
        innermost = cause or innermost
        pending += [cause, current.__cause__, current.__context__]
        pending += list(getattr(current, "worker_failures", {}).values())
    if not type(error).__module__.startswith("ray."):
        return error
    message = (str(innermost).strip().splitlines() or [""])[0][:MAX_MESSAGE]
    return LabelAuditError(
        f"the Ray cluster failed ({type(innermost).__name__}: {message}): see its logs under "
        "/tmp/ray."
    )
