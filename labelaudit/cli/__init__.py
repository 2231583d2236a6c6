"""The command line: thin commands over the library. Data goes to stdout, progress to stderr."""

from . import data, model, patches, suspects
from .base import main

__all__ = ["data", "main", "model", "patches", "suspects"]
