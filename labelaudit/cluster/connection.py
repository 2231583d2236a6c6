"""Connects to a cluster: a running one (RAY_ADDRESS), or a new one on this machine."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import StorageError
from ..storage import object_store, paths
from . import RAY, check_place

LOCAL = "127.0.0.1"
LOOPBACK = "127."
CONNECT_SECONDS = 10
DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # silences a warning about later versions of Ray
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@contextmanager
def connected() -> Iterator[None]:
    """Connect to a cluster for the body: the one that this process is connected to, the one at
    RAY_ADDRESS, or one with the cores of this machine, which is shut down after the body.

    Raises LabelAuditError if Ray is not installed or the cluster cannot be reached.
    """
    check_place(RAY)
    set_defaults()
    import ray

    if ray.is_initialized():
        _silence()
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _check_listening(address)
            ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            from ..features.device import available_cores

            _ignore_fork_warning()
            ray.init(
                "local",
                num_cpus=available_cores(),
                include_dashboard=False,
                _node_ip_address=LOCAL,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at RAY_ADDRESS={address}" if address else "on this machine"
        raise StorageError(
            f"no Ray cluster could be reached {where} ({_first_line(error)}): start it "
            "with the same versions of Python and Ray, or unset RAY_ADDRESS."
        ) from error
    _silence()
    try:
        yield
    finally:
        ray.shutdown()


def set_defaults() -> None:
    """Set environment variables that Ray reads when it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        # a cluster of this machine only: others must not be able to reach it
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def worker_count() -> int:
    """Return how many workers the cluster can run: one per GPU if it has any, else one per core."""
    import ray

    total = ray.cluster_resources()
    return max(int(total.get("GPU", 0) or total.get("CPU", 1)), 1)


def worker_options(device: str = "auto") -> dict:
    """Return Ray's options for a worker: its resources and environment."""
    import ray

    on_gpu = ray.cluster_resources().get("GPU", 0) and device in ("auto", "cuda")
    return {"num_cpus": 1, **({"num_gpus": 1} if on_gpu else {}), **environment_options()}


def environment_options() -> dict:
    """Return Ray's options for a process that reads object storage: the driver's credentials and
    endpoint. Empty if datasets are in a folder."""
    if not paths.is_remote():
        return {}
    variables = {"LABELAUDIT_HOME": paths.home(), **dict(object_store.settings())}
    return {"runtime_env": {"env_vars": variables}}


def set_up_worker(home_uri: str, threads: int = 1) -> None:
    """Let a process of the cluster use the driver's datasets, and only its own core."""
    import torch

    os.environ["LABELAUDIT_HOME"] = home_uri
    with suppress(RuntimeError):  # torch has run in this process before
        torch.set_num_threads(threads)


def check_dataset_exists(name: str) -> None:
    """Raise LabelAuditError if a dataset does not exist on this node of the cluster."""
    uri = paths.dataset_uri(name)
    if paths.is_missing(uri):
        raise StorageError(
            f"{socket.gethostname()}, a node of the Ray cluster, has no {uri}: set LABELAUDIT_HOME "
            "to a folder that all nodes share, or to an s3:// address."
        )


def _check_listening(address: str) -> None:
    """Raise OSError if nothing listens at the address: Ray would try for ten minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():  # it can be "auto"
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def _ignore_fork_warning() -> None:
    """Ray forks and immediately starts another program, which does not affect LanceDB."""
    warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)


def _silence() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # LabelAudit reports errors itself


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
