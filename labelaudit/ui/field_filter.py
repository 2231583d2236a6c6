"""The sidebar's filter and order by own fields of a dataset."""

from __future__ import annotations

import datetime

import numpy as np
import streamlit as st

from ..dataset import own_fields
from ..dataset.expression import Expression, F
from ..dataset.own_fields import DATE, NUMBER, FieldInfo
from ..dataset.view import View

ANY = "any"
NO_VALUE = "no value"
MOST_VALUES = 1_000  # of a text field, in the list


def choose(view: View, key: str) -> View:
    """Draw the filter, if the dataset has own fields. Returns the matching samples of the view.

    key: prefix of the widget keys.
    """
    fields = own_fields.own_fields(view.frame)
    if not fields:
        return view
    name = st.selectbox("Own field", [ANY, *fields], key=f"{key}-field")
    if name != ANY:
        condition = _condition(view, fields[name], f"{key}-{name}")
        view = view if condition is None else view.match(condition)
    order = st.selectbox("Sort by", ["id", *fields], key=f"{key}-order")
    if order == "id":
        return view
    return view.sort_by(order, reverse=st.toggle("Largest first", key=f"{key}-reverse"))


def _condition(view: View, field: FieldInfo, key: str) -> Expression | None:
    """Draw the choice of values. Returns the condition; None for any value."""
    if field.kind in (NUMBER, DATE):
        return _range(view, field, key)
    counts = {value: n for value, n in view.count_values(field.name).items() if n}
    listed = sorted(counts, key=lambda value: -counts[value])[:MOST_VALUES]
    conditions: dict[str, Expression | None] = {ANY: None}
    for value in listed:
        wanted = value == "True" if field.kind == own_fields.BOOL else value
        conditions[f"{value} ({counts[value]:,})"] = F(field.name) == wanted
    missing = len(view) - sum(counts.values())
    if missing:
        conditions[f"{NO_VALUE} ({missing:,})"] = F(field.name).is_null()
    return conditions[st.selectbox("Value", list(conditions), key=f"{key}-value")]


def _range(view: View, field: FieldInfo, key: str) -> Expression | None:
    values = own_fields.coded(view.frame, field)[0][view.positions()]
    known = values[~np.isnan(values)]
    if not len(known):
        st.caption("No sample has a value.")
        return None
    low, high = float(known.min()), float(known.max())
    left, right = st.columns(2, gap="small")
    if field.kind == DATE:
        first, last = (own_fields.from_seconds(value).date() for value in (low, high))
        start = left.date_input("From", first, key=f"{key}-from")
        end = right.date_input("To", last, key=f"{key}-to")
        if (start, end) == (first, last):
            return None
        return (F(field.name) >= start) & (F(field.name) < end + datetime.timedelta(days=1))
    least = left.number_input("From", value=low, key=f"{key}-from")
    most = right.number_input("To", value=high, key=f"{key}-to")
    if (least, most) == (low, high):
        return None
    return (F(field.name) >= least) & (F(field.name) <= most)
