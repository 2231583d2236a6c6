"""The suspects of a run, most suspicious first; their CSV, the estimate and the rehearsal."""

from functools import partial

import numpy as np
import streamlit as st

from labelaudit.dataset.noise import MISTAKE, still_wrong
from labelaudit.export import suspects_csv
from labelaudit.export.provenance import download_name
from labelaudit.ranking.evaluation import evaluate, precision_curves
from labelaudit.ranking.image_kinds import match_image
from labelaudit.ranking.ranking import learned_again, outdated, suspects, weakness
from labelaudit.report import report_html
from labelaudit.review.blind_controls import answers
from labelaudit.review.estimate import estimate_wrong, has_suspicion
from labelaudit.review.notes import with_note
from labelaudit.review.queue import ALL
from labelaudit.review.verdicts import Review
from labelaudit.scores import SCORES, default_score
from labelaudit.storage.schema import FIRST_LOOK, IMPORTED, RECORDED, REMOVED
from labelaudit.ui import (
    charts,
    feature_choice,
    grid,
    image_filter,
    jobs,
    note_filter,
    state,
    tag_form,
)
from labelaudit.ui.confidence import confidence_note
from labelaudit.ui.review_address import STATUS, STATUS_WORDS
from labelaudit.ui.text import counted, plain, verb
from labelaudit.ui.total import show_total

ANY = "any"

dataset = state.current()
runs = jobs.scored_runs(dataset, "Suspects")

with st.sidebar:
    st.markdown("**Ranking**")
    run = st.selectbox("Run", runs, key="results-run")
    names = dataset.run(run).score_names()
    score = st.selectbox(
        "Score",
        names,
        index=names.index(default_score(names)),
        key="results-score",
        format_func=lambda name: SCORES[name].title,
    )
    st.caption(SCORES[score].meaning)
    everything = st.toggle(
        "All samples, not only suspects", key="results-all", disabled=not SCORES[score].judges_label
    )
    st.markdown("**Show**")
    text = st.text_input(
        "Find",
        key="results-find",
        placeholder="file name or id",
        help="All samples are searched, not only suspects.",
    ).strip()
    left, right = st.columns(2, gap="small")
    given = left.selectbox("Given", [ANY, *dataset.offered_classes], key="results-given")
    known = dataset.view(run).fields.classes  # also those that only the model knows
    predicted = right.selectbox("Predicted", [ANY, *known], key="results-predicted")
    tag = left.selectbox("Tag", [ANY, *dataset.info["tags"]], key="results-tag")
    split = right.selectbox("Split", [ANY, *dataset.info["splits"]], key="results-split")
    image = image_filter.choose(dataset.view(run), "results-image")
    noted = note_filter.choose(dataset.view(run), "results-noted")
    with st.expander("More filters"):
        reviewers = Review(dataset, "-").reviewers()
        decided_by = st.selectbox("Decided by", [ANY, *reviewers], key="results-decided-by")
        left, right = st.columns(2, gap="small")
        low = left.number_input("Score from", value=None, key="results-low", format="%.4f")
        high = right.number_input("Score to", value=None, key="results-high", format="%.4f")

everything = (
    everything or bool(text) or noted or image is not None or not SCORES[score].judges_label
)
if everything:
    view = dataset.view(run).exclude_tag(REMOVED) if image else dataset.view(run)
    view = view.sort_by(score, reverse=True)
else:
    view = suspects(dataset, run, score)
ranked = view
view = view.match(
    label=None if given == ANY else given,
    prediction=None if predicted == ANY else predicted,
    split=None if split == ANY else split,
)
view = view if tag == ANY else view.match_tag(tag)
view = view.search(text) if text else view
view = match_image(view.above("confidence", 0), image) if image else view
view = with_note(view) if noted else view
if decided_by != ANY:
    view = view.select(Review(dataset, decided_by).judged())
if low is not None or high is not None:
    view = view.between(score, -np.inf if low is None else low, np.inf if high is None else high)
note = confidence_note(dataset.view(run))


@st.cache_data(max_entries=8, show_spinner=False)
def rehearsal(stamp: tuple, _view) -> tuple:
    """Cached by the view's stamp, which is unique per dataset and table versions."""
    return evaluate(_view), precision_curves(_view)


@st.cache_data(max_entries=8, show_spinner=False)
def weakness_of(stamp: tuple, _view) -> str | None:
    """Cached too: with a million samples it takes 20 ms."""
    return weakness(_view)


def how_to_learn_again() -> tuple[str, str]:
    """Return how the run learned its labels, and a sentence's beginning on how to do it again."""
    since, again = learned_again(dataset.run(run))
    return since, again[0].upper() + again[1:]


def show_rehearsal(table, curves) -> None:
    """Show how well every score finds the planted mistakes."""
    best = table[table["score"] == score].iloc[0]
    st.markdown(
        f"**{best['found']:,}** of the first **{best['k']:,}** samples by {SCORES[score].title} "
        f"{verb(best['found'], 'is a planted mistake', 'are planted mistakes')} "
        f"({best['precision_at_k']:.0%}). {best['mistakes']:,} "
        f"{verb(best['mistakes'], 'was', 'were')} planted in all."
    )
    charts.precision_curves(curves, int(best["mistakes"]), score)
    number = st.column_config.NumberColumn
    columns = [
        "score",
        "average_precision",
        "precision_at_k",
        "recall_at_k",
        "found",
        "looks_for_90",
    ]
    st.dataframe(
        table.assign(score=table["score"].map(lambda name: SCORES[name].title))[columns],
        hide_index=True,
        width="stretch",
        column_config={
            "average_precision": number("average precision", format="%.4f"),
            "precision_at_k": number(f"precision at {best['k']:,}", format="percent"),
            "recall_at_k": number(f"recall at {best['k']:,}", format="percent"),
            "found": number("found", format="localized"),
            "looks_for_90": number("images to review to find 90%", format="localized"),
        },
    )


def show_rehearsal_or_not() -> None:
    mistakes = dataset.view(run).match_tag(MISTAKE)
    since, again = how_to_learn_again()
    if outdated(mistakes) and still_wrong(dataset) < len(mistakes):
        st.info(
            f"Some planted mistakes were corrected after {run} was {since}, so this rehearsal says "
            "little. Check a rehearsal before you apply verdicts."
        )
    elif outdated(mistakes):
        st.info(f"The mistakes were planted after {run} was {since}. {again} to rehearse.")
    else:
        show_rehearsal(table, curves)


def show_images() -> None:
    if len(view):
        grid.paged(view, "results", score, ranking=(run, score, everything), values=not note)
    else:
        filtered = len(ranked) > 0
        st.info(
            "No samples match these filters. Change them in the sidebar."
            if filtered
            else "This run has no suspects."
        )


def show_estimate() -> None:
    """Show where the wrong labels are: by class and by class pair, and by suspicion."""
    found = estimate_wrong(dataset, run)
    pairs = found.by_pair.fillna({"suggested": "none"})
    with st.container(horizontal=True, gap="medium"):  # stacked in a narrow window
        with st.container(width=500):
            estimate_table("By given class", found.by_class, {"class": "class"})
        with st.container(width=510):
            estimate_table("By class pair", pairs, {"given": "given", "suggested": "should be"})
    st.markdown("**By suspicion**")
    number = partial(st.column_config.NumberColumn, format="localized")
    st.dataframe(
        found.by_stratum,
        hide_index=True,
        width=500,
        column_config={
            "samples": number(),
            "reviewed": number(),
            "found": number(),
            "left": st.column_config.NumberColumn("expected among the others", format="%.0f"),
        },
    )


def counting_notes() -> list[str]:
    """Return what else there is to say about the number: other counts, and reviewers."""
    lines = []
    if estimate_wrong(dataset, run).reviewed:
        before = estimate_wrong(dataset, run, reviewed=False)
        lines.append(
            f"Before any review: {before.wrong:,.0f} ({before.low:,.0f} to {before.high:,.0f})."
        )
    if "confident_learning" in names:
        rule = counted(len(suspects(dataset, run, "confident_learning")), "wrong label")
        lines.append(f"For comparison, cleanlab's rule counts {rule}.")
    answered = answers(dataset, state.reviewer())
    return lines + ([answered.sentence()] if answered.total else [])


def estimate_table(title: str, table, names: dict[str, str]) -> None:
    st.markdown(f"**{title}**")
    column = st.column_config
    table = table.assign(
        between=[
            f"{low:,.0f} to {high:,.0f}"
            for low, high in zip(table["low"], table["high"], strict=True)
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=min(35 * len(table) + 38, 500),
        column_order=[*names, "found", "wrong", "between"],
        column_config={
            **{name: column.TextColumn(words, width=80) for name, words in names.items()},
            "found": column.NumberColumn(format="localized", width=50),
            "wrong": column.ProgressColumn(
                "estimated wrong",
                format="%.0f",
                width=110,
                min_value=0,
                max_value=max(table["wrong"].max(), 1),
            ),
            "between": column.TextColumn("95% range", width=80),
        },
    )


def review_address() -> dict[str, str]:
    """Return the filters as query parameters of the review page."""
    filters = {"given": given, "predicted": predicted, "tag": tag, "split": split}
    address = {name: value for name, value in filters.items() if value != ANY}
    address |= {state.DATASET: dataset.name, "run": run, "score": SCORES[score].title}
    address |= {"find": text} if text else {}
    bounds = {"low": low, "high": high}
    address |= {name: str(bound) for name, bound in bounds.items() if bound is not None}
    address |= {"decided-by": decided_by, STATUS: STATUS_WORDS[ALL]} if decided_by != ANY else {}
    address |= {"noted": "true"} if noted else {}
    if image:
        return address | {image_filter.PARAMETER: image}
    return address | ({"everything": "true"} if everything else {})


def first_look_note(found: dict) -> str:
    """Return which features a first look used, and what else was tried."""
    used = found.get("features")
    if not used:  # a first look of an earlier version
        return f"{run} predicts each label from all other images."
    text = (
        f"{run} predicts each label from all other images, using the features "
        f"{feature_choice.title(used)} (log loss {found['log_loss']:.2f}, lower is better)."
    )
    tried = found.get("tried") or {}
    others = [
        f"{feature_choice.title(name)} {loss:.2f}" for name, loss in tried.items() if name != used
    ]
    return f"{text} Also tried, on fewer images: {', '.join(others)}." if others else text


def offer_other_features() -> None:
    """Take the first look again, with features to choose. Drawn on demand, as it times them."""
    if not st.toggle("Try other features", key="results-other-features"):
        return
    with st.container(border=True):
        features = feature_choice.choose(dataset, "look")
        if st.button(
            "Take the first look again",
            icon=":material/bolt:",
            disabled=features is None,
            help="Replaces the suspects of the first look. Verdicts stay.",
        ):
            jobs.begin("look", dataset.name, features=features)


kind = "sample" if everything else "suspect"
kind += "" if len(ranked if len(view) < len(ranked) else view) == 1 else "s"
of_all = f" of {len(ranked):,}" if len(view) < len(ranked) else ""
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    st.title(f"{len(view):,}{of_all} {kind}", width="content")
    buttons = st.container(horizontal=True, vertical_alignment="bottom", width="content")
with buttons:
    if st.button("Review", type="primary", icon=":material/rate_review:"):
        st.switch_page("pages/suspects/review.py", query_params=review_address())
    st.download_button(
        "Download CSV",
        lambda: suspects_csv(view),
        download_name(view, f"{dataset.name}-{run}-{kind}", ".csv"),
        "text/csv",
        icon=":material/download:",
        disabled=not len(view),
        on_click="ignore",
        help="All samples that match the filters, not only this page.",
    )
    st.download_button(
        "Report",
        lambda: report_html(dataset, run),
        f"{dataset.name}-{run}-report.html",
        "text/html",
        icon=":material/summarize:",
        on_click="ignore",
        help="One HTML file to send or print: the data and method, the findings, the decisions and "
        "the first 100 suspects. Takes a few seconds.",
    )
    tag_form.popover(view, f"results-{dataset.name}")
accuracy = dataset.run(run).info.get("validation_accuracy")
imported = dataset.run(run).info.get(IMPORTED)
notes = []
if accuracy is not None:
    notes.append(
        f"On images it was not trained on, {run} agrees with {accuracy:.0%} of the labels. The "
        "rest are wrong labels or its own errors."
    )
elif imported is not None:
    trained = "was not" if imported["out_of_sample"] else "is assumed to be"
    notes.append(
        f"{run} was imported from {imported['source']}. The model {trained} trained on "
        "these labels."
    )
elif dataset.run(run).is_first_look:
    notes.append(first_look_note(dataset.run(run).info.get(FIRST_LOOK) or {}))
if has_suspicion(dataset, run) and not note:
    found = show_total(dataset, run, *counting_notes())
    if found.reviewed:
        st.caption(found.advice()[1])
if notes:
    st.caption(" ".join(map(plain, notes)))
jobs.show_running(dataset.name)
if dataset.run(run).is_first_look:
    offer_other_features()
if note:
    st.info(note)
if imported and imported.get("doubt"):
    st.warning(imported["doubt"])
elif weak := weakness_of(dataset.view(run).fields.stamp(), dataset.view(run)):
    st.warning(weak)
stale = outdated(dataset.view(run))
if stale and dataset.run(run).is_imported:
    st.warning(
        f"{counted(stale, 'label')} changed since {run} was scored. These samples have no score."
    )
    st.page_link("pages/model/predict.py", label="Update the scores", icon=":material/calculate:")
elif stale and dataset.run(run).is_first_look:
    st.warning(
        f"{counted(stale, 'label')} changed since the first look, so their scores are out of date."
    )
    if st.button("Take the first look again", icon=":material/bolt:", key="results-look-again"):
        used = (dataset.run(run).info.get(FIRST_LOOK) or {}).get("features")
        jobs.begin("look", dataset.name, **({"features": used} if used else {}))
elif stale:
    since, again = how_to_learn_again()
    st.warning(
        f"{counted(stale, 'label')} changed since {run} was trained, so their scores are out of "
        "date. Train again to update them."
    )
    if not dataset.run(run).info.get(RECORDED):  # recorded runs are trained elsewhere
        label = "First look" if dataset.run(run).is_first_look else "Train"
        st.page_link("pages/model/train.py", label=label, icon=":material/model_training:")
table, curves = rehearsal(dataset.view(run).fields.stamp(), dataset.view(run))
parts = {"Images": show_images}
if has_suspicion(dataset, run) and not note:
    parts["Where are they?"] = show_estimate
if table is not None:
    parts["Rehearsal"] = show_rehearsal_or_not
tabs = st.tabs(list(parts)) if len(parts) > 1 else [st.container()]
for tab, show in zip(tabs, parts.values(), strict=True):
    with tab:
        show()
