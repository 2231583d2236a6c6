"""Takes the labels home, with the images: as a download, or into a folder on this machine."""

import shlex

import streamlit as st

from labelaudit.core.errors import LabelAuditError
from labelaudit.dataset.noise import still_wrong
from labelaudit.export import (
    MANIFEST,
    absolute,
    all_formats,
    check_export,
    export_zip,
    format_bytes,
    manifest_bytes,
    survey,
)
from labelaudit.jobs.manager import Job
from labelaudit.ranking.ranking import selection
from labelaudit.ui import jobs, paths, state, words

MOST_SAMPLES, MOST_BYTES = 50_000, 200_000_000  # that a browser is given at once
FORMATS = all_formats()
SUFFIXES = {".csv": "CSV", ".jsonl": "JSON lines", ".parquet": "Parquet"}
ALL, SUSPECTS = "All samples", "Only the suspects"

dataset = state.current()
st.title("Export")
st.write("Labels as they are now, without removed samples. Nothing here changes the dataset.")

with st.sidebar:
    st.markdown("**Samples**")
    scored = dataset.view().score_names()
    which = st.radio("Samples", [ALL, SUSPECTS], key="export-which", disabled=not scored,
                     label_visibility="collapsed",
                     help=None if scored else "There are none before a run is scored.")  # fmt: skip
    splits = list(dataset.info["splits"])
    split = st.selectbox("Of", ["all splits", *splits], key="export-split") if splits else None
    split = None if split == "all splits" else split
chosen = {"only_suspects": which == SUSPECTS, "split": split}


@st.cache_data(max_entries=16, show_spinner="Looking at the images …")
def surveyed(stamp: tuple, chosen: dict, _view):
    """Cached by the view's stamp: table versions that no other dataset or time has."""
    return survey(_view, MOST_SAMPLES)


def written(job: Job) -> None:
    lines = job.result["told"].splitlines()
    st.success("  \n".join(map(words.said, lines)))


def figures(found) -> None:
    shown = {"Samples": found.samples, "Labels changed": found.relabelled,
             "Removed, left out": found.removed, "Without a label": found.unlabelled}  # fmt: skip
    with st.container(horizontal=True, gap="medium"):
        for title, value in shown.items():
            if value or title != "Without a label":
                st.metric(title, f"{value:,}", width="content")
        if found.bytes is not None:
            st.metric("Images", format_bytes(found.bytes), width="content")


def pick_format() -> str:
    return st.radio(
        "Format", list(FORMATS), key="export-format",
        format_func=lambda name: FORMATS[name].title,
        captions=[entry.about for entry in FORMATS.values()],
    )  # fmt: skip


def download(view, name: str, suffix: str, images: bool, found) -> None:
    """A button; or, where it is too much for a browser, a sentence."""
    too_much = found.samples > MOST_SAMPLES or (found.bytes or 0) > MOST_BYTES
    if too_much and (format != MANIFEST or images):
        most = f"{MOST_SAMPLES:,} images, or {format_bytes(MOST_BYTES)}"
        st.info(f"Too much for a download (over {most}): "
                "write it into a folder on this machine.")  # fmt: skip
        return
    if format == MANIFEST:
        zipped = images or not found.table_says_all
        label, file = f"Download {SUFFIXES[suffix]}", name + (".zip" if zipped else suffix)
        label += " in a zip" if zipped else ""
        make = lambda: manifest_bytes(view, name + suffix, images, zipped)  # noqa: E731
    else:
        label, file = "Download as a zip", f"{name}.zip"
        make = lambda: export_zip(view, format, name)  # noqa: E731
    st.download_button(label, make, file, type="primary", icon=":material/download:",
                       on_click="ignore")  # fmt: skip


def write_here(name: str, suffix: str, images: bool, found) -> None:
    """Into a folder on this machine, as a job; and the command that does the same."""
    st.markdown("**… or write it on this machine**")
    proposed = f"~/{name}{suffix if format == MANIFEST else ''}"
    target = st.text_input("File" if format == MANIFEST else "New folder", proposed,
                           key=f"export-target-{dataset.name}-{proposed}")  # fmt: skip
    link = FORMATS[format].files and found.samples > found.without_file and st.checkbox(
        "Hard links instead of copies", key="export-link",
        help="Takes no space; a change to such a file changes the original, too.",
    )  # fmt: skip
    busy = active or jobs.busy(dataset.name)
    if st.button("Write", icon=":material/save:", key="export-write", disabled=busy):
        options = {"format": format, "link": bool(link), "images": images}
        try:
            path = absolute(paths.typed(target))
            check_export(path, **options)
        except LabelAuditError as error:
            words.fail(error)
        else:
            jobs.begin("export", dataset.name, target=str(path), **chosen, **options)
    st.caption("On the command line:")
    st.code(command(target, bool(link), images), language="sh", wrap_lines=True)


def command(target: str, link: bool, images: bool) -> str:
    place = target if target.startswith("~/") and shlex.quote(target[2:]) == target[2:] else (
        shlex.quote(target))  # fmt: skip
    words = [f"labelaudit export {dataset.name} {place}"]
    words += [f"--format {format}"] if format != MANIFEST else []
    flags = {"--link": link, "--images": images, "--suspects": chosen["only_suspects"]}
    words += [flag for flag, wanted in flags.items() if wanted]
    words += [f"--split {shlex.quote(split)}"] if split else []
    return " ".join(words)


active = jobs.show(dataset.name, ["export"], written, also_others=False) == jobs.ACTIVE
view = selection(dataset, **chosen)
try:
    found = surveyed(view.fields.stamp(), {"dataset": dataset.name, **chosen}, view)
except LabelAuditError as error:
    st.warning(words.said(error))
    st.stop()
figures(found)
if not found.relabelled and not found.removed:
    st.info("No label has changed since the images were loaded: what goes out is what came in. "
            "Verdicts change labels where they are applied.")  # fmt: skip
    st.page_link("pages/suspects/apply.py", label="Apply", icon=":material/task_alt:")
if wrong := still_wrong(dataset):
    st.warning(f"{wrong:,} of these labels are wrong on purpose: planted for a rehearsal. Take "
               "them back before you use what you export.")  # fmt: skip
    st.page_link("pages/data/noise.py", label="Take them back", icon=":material/shuffle:")
left, right = st.columns([2, 3], gap="large")
with left:
    format = pick_format()
with right, st.container(border=True):
    st.markdown(f"**{FORMATS[format].title}**")
    suffix, images = "", False
    if format == MANIFEST:
        suffix = st.segmented_control("As", list(SUFFIXES), default=".csv", key="export-suffix",
                                      format_func=SUFFIXES.get, required=True)  # fmt: skip
        if found.without_file:
            images = st.checkbox(
                f"With the {found.without_file:,} images that are kept inside the dataset",
                value=True, key="export-images",
                help="They have no file: without them the table cannot be loaded again.",
            )  # fmt: skip
    name = f"{dataset.name}-{'labels' if format == MANIFEST else format}"
    download(view, name, suffix, images, found)
    write_here(name, suffix, images, found)
if scored:
    st.page_link("pages/suspects/results.py", icon=":material/fact_check:",
                 label="The suspects with all their scores, as CSV: on Results")  # fmt: skip
