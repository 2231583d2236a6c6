"""Predictions of a model that was not trained here: read, understood, and kept as a run."""

from .importing import Understood, import_predictions, understand

__all__ = ["Understood", "import_predictions", "understand"]
