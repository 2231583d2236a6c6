"""Predictions and models from elsewhere: opened, checked, and stored as a run.

May import `learn`, `features`, `dataset` and the folders below them. Uses torch.
"""

from .feature_import import import_features
from .importing import SourceSummary, import_predictions, inspect_source

__all__ = ["SourceSummary", "import_features", "import_predictions", "inspect_source"]
