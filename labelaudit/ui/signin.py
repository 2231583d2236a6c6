"""Sign-in with Streamlit's OpenID Connect, if secrets.toml has a section [auth].

Reviewers then have the name they signed in with and cannot change it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from .text import plain, show_error

NAME_LENGTH = 64
NAMES = ("email", "preferred_username", "name", "sub")  # claims of the provider, best first


def is_on() -> bool:
    """Whether people have to sign in."""
    return st.user.get("is_logged_in") is not None


def ask() -> None:
    """Draw the sign-in page and stop, unless the visitor is signed in."""
    if _is_unreadable():
        show_error("secrets.toml cannot be read: fix or remove it; see the log for details")
        st.stop()
    if not is_on():
        return
    if not st.user.get("is_logged_in"):
        st.title("Sign in")
        if not _has_package():
            show_error('signing in needs the package Authlib: pip install "streamlit[auth]"')
            st.stop()
        st.write("Your reviews are stored under the name you sign in with.")
        for provider in providers(st.secrets.get("auth", {})):
            label = f"Sign in with {plain(provider.capitalize())}" if provider else "Sign in"
            st.button(
                label,
                type="primary",
                icon=":material/login:",
                on_click=st.login,
                key=f"sign-in-{provider}",
                args=(provider,),
            )
        st.stop()
    if name() is None:
        show_error("your provider sends neither an email nor a name: one is needed to review")
        st.stop()


def show() -> None:
    """Show who is signed in, and the sign-out button, in the sidebar."""
    if is_on():
        st.sidebar.caption(f"Signed in as {plain(name())}")
        st.sidebar.button("Sign out", icon=":material/logout:", on_click=st.logout)


def name() -> str | None:
    """Return the name of the signed-in visitor; None if sign-in is off."""
    return user_name(st.user) if is_on() else None


def user_name(user: Mapping) -> str | None:
    """Return the name in a user's claims; None if there is none."""
    found = (" ".join(str(user.get(key) or "").split()) for key in NAMES)
    return next((text[:NAME_LENGTH] for text in found if text), None)


def providers(auth: Mapping) -> list[str | None]:
    """Return the providers in the section [auth]; None stands for the unnamed one."""
    named = [
        key for key, value in auth.items() if isinstance(value, Mapping) and "client_id" in value
    ]
    return ([None] if "client_id" in auth else []) + named


def _has_package() -> bool:
    return importlib.util.find_spec("authlib") is not None


def _is_unreadable() -> bool:
    """Whether secrets exist but cannot be read. Streamlit would then ignore [auth] and let
    everybody in."""
    try:
        st.secrets.get("auth")
    except StreamlitSecretNotFoundError:
        return any(os.path.exists(path) for path in st.get_option("secrets.files") or ())
    return False
