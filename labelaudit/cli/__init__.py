"""The command line: thin commands over the library. Data goes to stdout, progress to stderr."""

from . import brought, data, model, suspects
from .base import main

__all__ = ["brought", "data", "main", "model", "suspects"]
