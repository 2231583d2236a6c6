"""Networks, training with training dynamics, recording of other training loops, and prediction.

May import `features`, `dataset` and the folders below them. Uses torch.
"""

from .config import BACKBONES, MODELS, SMALL, TrainConfig

__all__ = ["BACKBONES", "MODELS", "SMALL", "TrainConfig"]
