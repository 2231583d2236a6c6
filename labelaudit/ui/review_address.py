"""The address of the review page: its query parameters, and how another page opens it."""

from __future__ import annotations

from ..review.queue import ALL, DISAGREED, MINE, TODO

# Query parameters of the review page, and their values
MODE, ONE, MANY = "mode", "One by one", "Many at once"
STATUS = "show"
STATUS_WORDS = {
    TODO: "not reviewed by me",
    ALL: "all suspects",
    MINE: "reviewed by me",
    DISAGREED: "reviewers disagree",
}
SAMPLE = "sample"  # the current sample
SIMILAR = "similar"  # the sample whose similar images are shown
# Session state key: widget keys of the review page with their values in the next run of the script.
OPEN = "review-open"
ANY = "any"  # value of a filter that does not filter
NO_SIMILAR = {SIMILAR: None, "given": ANY, "suggested": ANY}
WRITTEN = "sample-written"  # session state key: the sample that the page put into it
