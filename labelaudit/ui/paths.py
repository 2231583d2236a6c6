"""Paths typed in the browser: which of them may be used. Every page asks here.

On a machine of one's own, any. Once others can reach the app (it listens on more than this machine,
or people sign in), only those in the folders that LABELAUDIT_ROOTS names.
"""

from __future__ import annotations

import ipaddress
import os

import streamlit as st

from ..core.errors import LabelAuditError
from ..storage.allowed_roots import VARIABLE, check_inside, configured_roots
from ..storage.object_store import is_remote
from . import signin


def allowed() -> tuple[str, ...] | None:
    """The folders that paths may lead into; None: anywhere."""
    roots = configured_roots()
    if roots or not (signin.is_on() or is_open_to_others()):
        return roots or None
    return ()


def typed(text: str, remote: bool = False) -> str:
    """The path that a text typed in the browser means, links resolved where folders are set.

    Every page that takes one asks here. Raises LabelAuditError for one that may not be used.
    remote: it may be a URI of object storage.
    """
    if is_remote(text) and not remote:
        raise LabelAuditError(f"{text!r} lies in object storage: give a path of this machine.")
    roots = allowed()
    if roots is None:
        return text
    if not roots:
        raise LabelAuditError(
            "paths cannot be typed here, for others can reach this app: start it with "
            f"{VARIABLE}=/data, the folders that may be used (parted by {os.pathsep!r}), or upload "
            "a zip."
        )
    return check_inside(os.path.expanduser(text), roots)


def is_open_to_others() -> bool:
    """Whether the server listens on more than this machine. (That it lies behind a proxy on the
    same machine cannot be known: then LABELAUDIT_ROOTS must be set.)"""
    address = st.get_option("server.address")
    if not address:  # Streamlit's default: every interface
        return True
    if address == "localhost":
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:  # a name, or a socket
        return not address.startswith("unix:")
