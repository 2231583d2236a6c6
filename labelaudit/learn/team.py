"""Who trains a model: one process, or several that each learn a share of the samples."""

from __future__ import annotations

import numpy as np
import torch


class Alone:
    """One process."""

    rank, size = 0, 1

    def share(self, count: int) -> np.ndarray:
        """Which of so many samples are this process's, int64."""
        return np.arange(count)

    def spread(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model as it is to be called in learning."""
        return model

    def same(self, model: torch.nn.Module) -> None:
        """Give all of them the first one's weights."""

    def first(self, value):
        """The value that the first one has."""
        return value

    def mean(self, value: float) -> float:
        return value

    def any(self, value: bool) -> bool:
        return value

    def least(self, value: int) -> int:
        return value

    def gathered(self, part) -> list | None:
        """What each has, in their order; None for all but the first."""
        return [part]


class Ranks(Alone):
    """The processes of torch.distributed, where it is initialised. All make the same calls."""

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.size = torch.distributed.get_world_size()

    def share(self, count: int) -> np.ndarray:
        """Every size-th: sources are often sorted by class, and each is to learn all of them."""
        return np.arange(self.rank, count, self.size)

    def spread(self, model: torch.nn.Module) -> torch.nn.Module:
        """With the mean of all gradients, and the first one's weights to begin with."""
        return torch.nn.parallel.DistributedDataParallel(model)

    def same(self, model: torch.nn.Module) -> None:
        for tensor in model.state_dict().values():
            torch.distributed.broadcast(tensor, 0)

    def first(self, value):
        box = [value]
        torch.distributed.broadcast_object_list(box, 0)
        return box[0]

    def mean(self, value: float) -> float:
        return self._reduced(value / self.size, torch.distributed.ReduceOp.SUM)

    def any(self, value: bool) -> bool:
        return bool(self._reduced(float(value), torch.distributed.ReduceOp.MAX))

    def least(self, value: int) -> int:
        return int(self._reduced(value, torch.distributed.ReduceOp.MIN))

    def gathered(self, part) -> list | None:
        parts = [None] * self.size if self.rank == 0 else None
        torch.distributed.gather_object(part, parts)
        return parts

    @staticmethod
    def _reduced(value: float, how) -> float:
        number = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(number, how)
        return number.item()
