"""The command line: thin commands over the library. Data goes to stdout, progress to stderr."""

from . import data, export, model, patches, suspects
from .base import main

__all__ = ["data", "export", "main", "model", "patches", "suspects"]
