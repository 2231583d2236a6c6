"""Models, training with dynamics, and prediction."""

from .config import BACKBONES, MODELS, SMALL, TrainConfig

__all__ = ["BACKBONES", "MODELS", "SMALL", "TrainConfig"]
