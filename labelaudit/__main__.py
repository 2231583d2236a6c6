"""Entry point of `python -m labelaudit` and of the command `labelaudit`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main(prog_name="labelaudit"))
