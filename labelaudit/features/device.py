"""The device to compute on, its number format, and the number of cores."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch

from ..core.errors import BadInputError


def choose_device(name: str) -> torch.device:
    """Return the device of this name: "auto", "cpu", "cuda", "cuda:1", "mps" …

    Raises LabelAuditError if it does not exist.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # fails on "meta", which stores no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInputError(f"device {name!r} cannot be used here: choose auto or cpu.") from error
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 natively, 2 to 3 times as fast as float32."""
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def autocast(device: torch.device) -> AbstractContextManager:
    """Return a context that computes in bfloat16 if the device does so natively."""
    if multiplies_bfloat16(device):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
