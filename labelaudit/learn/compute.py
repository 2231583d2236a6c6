"""Where and how the arithmetic runs: device, number format, threads."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from ..errors import LabelAuditError
from .images import Images

EVALUATION_ROWS = 125  # larger batches leave the processor's cache and are slower
TUNING_STEPS = 3


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda", "cuda:1", "mps" … Raises where there is no such device."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LabelAuditError(
            f"device {name!r} cannot be used here: choose auto or cpu."
        ) from error
    return device


def autocast(device: torch.device) -> AbstractContextManager:
    """bfloat16 where the processor multiplies it natively (2 to 3 times faster), else float32."""
    if device.type == "cpu":
        native = any(
            getattr(torch.cpu, check, lambda: False)()
            for check in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
    else:
        native = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16) if native else nullcontext()


class ThreadTuner:
    """Times a few steps with all threads and with one, and keeps the faster, each epoch anew.

    What is best depends on who else is busy: alone on 2 cores two threads are twice as fast, but
    beside another busy process they wait for each other and are ten times slower than one.
    """

    def __init__(self, fixed: int | None) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        self.candidates = [fixed] if fixed else sorted({cores or 1, 1}, reverse=True)
        self._epoch_begins()

    def _epoch_begins(self) -> None:
        self._spent: dict[int, list[float]] = {count: [] for count in self.candidates}
        self._started: float | None = None
        self._use(self.candidates[0])

    def epoch_begins(self) -> None:
        if len(self.candidates) > 1:
            self._epoch_begins()

    def step_begins(self) -> None:
        self._started = time.perf_counter()

    def step_ends(self) -> None:
        if len(self.candidates) == 1 or self._using is None:
            return
        self._spent[self._using].append(time.perf_counter() - self._started)
        if len(self._spent[self._using]) < TUNING_STEPS:
            return
        untried = [count for count in self.candidates if not self._spent[count]]
        if untried:
            self._use(untried[0])
        else:
            self._use(min(self.candidates, key=lambda count: min(self._spent[count])))
            self._using = None

    def _use(self, count: int) -> None:
        self._using: int | None = count
        torch.set_num_threads(count)


@torch.inference_mode()
def forward(model: torch.nn.Module, images: Images, places: np.ndarray, device: torch.device):
    """Yield (places, logits float32 (n, C)) of these images, in evaluation mode."""
    model.eval()
    with autocast(device):
        for at, batch in images.batches(places, EVALUATION_ROWS):
            yield at, model(batch.to(device)).float().cpu().numpy()
