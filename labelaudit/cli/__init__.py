"""The command line: thin commands over the library. Data goes to stdout, progress to stderr.

May import every folder except ui. `labelaudit --help` imports none of them: a command's module is
imported when that command is used.
"""

from .base import main

__all__ = ["main"]
