"""The command that opens the app."""

from __future__ import annotations

import runpy
import sys

import click

from .base import example, main


@main.command(
    context_settings={"ignore_unknown_options": True},
    **example("labelaudit app --server.port 8600"),
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def app(options) -> None:
    """Open the app in the browser. Press Ctrl-C to stop it.

    OPTIONS are passed to `streamlit run`, for example --server.port 8600 or --server.headless true.
    The app can be reached from this machine only, unless you change --server.address.
    """
    sys.argv = ["labelaudit app", *options]
    # Started as a program, not imported: the command line must not depend on the app's modules.
    runpy.run_module("labelaudit.ui", run_name="__main__")
