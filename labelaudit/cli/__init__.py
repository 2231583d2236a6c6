"""The command line: thin commands over the library. Data goes to stdout, progress to stderr."""

from . import brought, data, export, model, patches, suspects
from .base import main

__all__ = ["brought", "data", "export", "main", "model", "patches", "suspects"]
