"""The way to a cluster: one that runs already (RAY_ADDRESS), or one on this machine."""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import LabelAuditError
from ..storage import object_store, paths
from . import RAY, check_place

LOCAL = "127.0.0.1"
LOOPBACK = "127."
KNOCK_SECONDS = 10
DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of what a later Ray will do
    "RAY_ENABLE_METRICS_COLLECTION": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


@contextmanager
def connected() -> Iterator[None]:
    """Have a cluster within the body: the one that this process is connected to, the one that
    RAY_ADDRESS names, or one of this machine's cores alone, which goes with the body.

    Raises LabelAuditError where Ray is missing or the cluster does not answer.
    """
    check_place(RAY)
    prepare()
    import ray

    if ray.is_initialized():
        _quiet()
        yield
        return
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _knock(address)
            ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            from ..features.device import available_cores

            _warn_of_no_forks()
            ray.init(
                "local", num_cpus=available_cores(), include_dashboard=False,
                _node_ip_address=LOCAL, log_to_driver=False, logging_level=logging.WARNING,
            )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        where = f"at RAY_ADDRESS={address}" if address else "on this machine"
        raise LabelAuditError(
            f"no Ray cluster could be reached {where} ({_first_line(error)}): see that it runs "
            "with the same versions of Python and Ray, or unset RAY_ADDRESS."
        ) from error
    _quiet()
    try:
        yield
    finally:
        ray.shutdown()


def prepare() -> None:
    """Before Ray is imported: what it says and sends by default."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if not os.environ.get("RAY_ADDRESS"):
        # a cluster of this machine alone: nobody else is to reach it
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def workers() -> int:
    """How many of them there can be: one a GPU where the cluster has any, else one a core."""
    import ray

    there = ray.cluster_resources()
    return max(int(there.get("GPU", 0) or there.get("CPU", 1)), 1)


def needs(device: str = "auto") -> dict:
    """What each of them asks of the cluster, as Ray's options."""
    import ray

    on_gpu = ray.cluster_resources().get("GPU", 0) and device in ("auto", "cuda")
    return {"num_cpus": 1, **({"num_gpus": 1} if on_gpu else {}), **settings()}


def settings() -> dict:
    """What a process of the cluster must know to read object storage, as Ray's options: the
    driver's credentials and endpoint. Nothing where datasets lie in a folder."""
    if not paths.is_remote():
        return {}
    known = {"LABELAUDIT_HOME": paths.home(), **dict(object_store.settings())}
    return {"runtime_env": {"env_vars": known}}


def begin_worker(home_uri: str, threads: int = 1) -> None:
    """In a process of the cluster: the same datasets as the driver's, and no more than its core."""
    import torch

    os.environ["LABELAUDIT_HOME"] = home_uri
    with suppress(RuntimeError):  # something has run in this process already
        torch.set_num_threads(threads)


def check_seen(name: str) -> None:
    """In a process of the cluster. Raises LabelAuditError where it does not see a dataset."""
    uri = paths.dataset_uri(name)
    if paths.is_missing(uri):
        raise LabelAuditError(
            f"{socket.gethostname()}, a node of the Ray cluster, has no {uri}: set LABELAUDIT_HOME "
            "to a folder that all nodes share, or to an s3:// address."
        )


def _knock(address: str) -> None:
    """Raises OSError where nobody listens: Ray would try for ten minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():  # else "auto"
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()


def _warn_of_no_forks() -> None:
    """Ray forks to begin programs of its own, at once: LanceDB is not touched in between."""
    warnings.filterwarnings("ignore", "lancedb fork support", RuntimeWarning)


def _quiet() -> None:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are said by us


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
