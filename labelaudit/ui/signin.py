"""Signing in, where secrets.toml has a section [auth]: Streamlit's own OpenID Connect.

Reviewers then have the name that they signed in with, and cannot take another.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from .words import fail, plain

NAME_LENGTH = 64
NAMES = ("email", "preferred_username", "name", "sub")  # what a provider may say, surest first


def is_on() -> bool:
    """Whether people have to sign in."""
    return st.user.get("is_logged_in") is not None


def ask() -> None:
    """Draw the page that asks to sign in, and end the run there; nothing for who has."""
    if _is_unreadable():
        fail("secrets.toml cannot be read: mend it, or take it away; the log has more")
        st.stop()
    if not is_on():
        return
    if not st.user.get("is_logged_in"):
        st.title("Sign in")
        if not _has_package():
            fail('signing in needs the package Authlib: pip install "streamlit[auth]"')
            st.stop()
        st.write("Whoever reviews here does so under the name that they sign in with.")
        for provider in providers(st.secrets.get("auth", {})):
            words = f"Sign in with {plain(provider.capitalize())}" if provider else "Sign in"
            st.button(words, type="primary", icon=":material/login:", on_click=st.login,
                      key=f"sign-in-{provider}", args=(provider,))  # fmt: skip
        st.stop()
    if name() is None:
        fail("your provider tells no email and no name: without one nobody can review")
        st.stop()


def show() -> None:
    """Who is signed in, in the sidebar, and the way out."""
    if is_on():
        st.sidebar.caption(f"Signed in as {plain(name())}")
        st.sidebar.button("Sign out", icon=":material/logout:", on_click=st.logout)


def name() -> str | None:
    """Who is signed in; None where nobody has to."""
    return user_name(st.user) if is_on() else None


def user_name(user: Mapping) -> str | None:
    """The name that a provider gives a user."""
    found = (" ".join(str(user.get(key) or "").split()) for key in NAMES)
    return next((text[:NAME_LENGTH] for text in found if text), None)


def providers(auth: Mapping) -> list[str | None]:
    """Those that the section [auth] names; None is one without a name."""
    named = [key for key, value in auth.items() if isinstance(value, Mapping)
             and "client_id" in value]  # fmt: skip
    return ([None] if "client_id" in auth else []) + named


def _has_package() -> bool:
    return importlib.util.find_spec("authlib") is not None


def _is_unreadable() -> bool:
    """Whether there are secrets that cannot be read: then Streamlit knows of no [auth], and would
    let everybody in."""
    try:
        st.secrets.get("auth")
    except StreamlitSecretNotFoundError:
        return any(os.path.exists(path) for path in st.get_option("secrets.files") or ())
    return False
