"""Checks paths typed in the browser. Every page that takes a path uses this module.

If only this machine can reach the app, any path is allowed. If the app listens on another address,
or people sign in, only paths in the folders of LABELAUDIT_ROOTS are allowed.
"""

from __future__ import annotations

import ipaddress
import os

import streamlit as st

from ..core.errors import BadInputError
from ..storage.allowed_roots import VARIABLE, check_inside, configured_roots
from ..storage.object_store import is_remote
from . import signin


def allowed() -> tuple[str, ...] | None:
    """Return the folders that paths may be in; None for anywhere."""
    roots = configured_roots()
    if roots or not (signin.is_on() or is_open_to_others()):
        return roots or None
    return ()


def typed(text: str, remote: bool = False) -> str:
    """Return the path for a text typed in the browser, with links resolved if roots are set.

    remote: whether URIs of object storage are allowed. Raises LabelAuditError for a path that is
    not allowed.
    """
    if is_remote(text) and not remote:
        raise BadInputError(f"{text!r} is in object storage: enter a path on this machine.")
    roots = allowed()
    if roots is None:
        return text
    if not roots:
        raise BadInputError(
            f"paths are disabled because others can reach this app: start it with {VARIABLE}=/data "
            f"(the allowed folders, separated by {os.pathsep!r}), or upload a zip."
        )
    return check_inside(os.path.expanduser(text), roots)


def is_open_to_others() -> bool:
    """Whether the server accepts connections from other machines.

    A proxy on the same machine cannot be detected; set LABELAUDIT_ROOTS behind one.
    """
    address = st.get_option("server.address")
    if not address:  # Streamlit's default: every interface
        return True
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:  # a name, or a socket
        return not address.startswith("unix:")
