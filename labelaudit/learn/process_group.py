"""The processes that train a model together: one, or several with a share of the samples each."""

from __future__ import annotations

import numpy as np
import torch


class ProcessGroup:
    """A single process."""

    rank, size = 0, 1

    def share(self, count: int) -> np.ndarray:
        """Return the places of this process among `count` samples, int64."""
        return np.arange(count)

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model to call for training."""
        return model

    def synchronise(self, model: torch.nn.Module) -> None:
        """Give every process the weights of the first."""

    def first(self, value):
        """Return the value of the first process."""
        return value

    def mean(self, value: float) -> float:
        """Return the mean over the processes."""
        return value

    def any(self, value: bool) -> bool:
        """Return whether the value is True in any process."""
        return value

    def minimum(self, value: int) -> int:
        """Return the smallest value of all processes."""
        return value

    def gather(self, value) -> list | None:
        """Return the values of all processes in order; None in all but the first process."""
        return [value]


class DistributedGroup(ProcessGroup):
    """The processes of torch.distributed, once it is initialised. All must make the same calls."""

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()

    def share(self, count: int) -> np.ndarray:
        """Every size-th sample: sources are often sorted by class, and each process must learn all
        classes."""
        return np.arange(self.rank, count, self.size)

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model starts from the weights of the first process, and averages all gradients."""
        return torch.nn.parallel.DistributedDataParallel(model)

    def synchronise(self, model: torch.nn.Module) -> None:
        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, 0)

    def first(self, value):
        values = [value]
        torch.distributed.broadcast_object_list(values, 0)
        return values[0]

    def mean(self, value: float) -> float:
        return self._reduced(value / self.size, torch.distributed.ReduceOp.SUM)

    def any(self, value: bool) -> bool:
        return bool(self._reduced(float(value), torch.distributed.ReduceOp.MAX))

    def minimum(self, value: int) -> int:
        return int(self._reduced(value, torch.distributed.ReduceOp.MIN))

    def gather(self, value) -> list | None:
        values = [None] * self.size if self.rank == 0 else None
        torch.distributed.gather_object(value, values)
        return values

    @staticmethod
    def _reduced(value: float, operation) -> float:
        number = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(number, operation)
        return number.item()
