"""Export labels and images: as a download, or into a folder on this machine."""

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
from labelaudit.export.provenance import download_name
from labelaudit.jobs.job import Job
from labelaudit.ranking.ranking import selection
from labelaudit.ui import jobs, paths, state, text
from labelaudit.ui.text import counted, verb
from labelaudit.ui.total import show_headline

MOST_SAMPLES, MOST_BYTES = 50_000, 200_000_000  # of a download
FORMATS = all_formats()
SUFFIXES = {".csv": "CSV", ".jsonl": "JSON lines", ".parquet": "Parquet"}
ALL, SUSPECTS = "All samples", "Only the suspects"

dataset = state.current()
st.title("Export")
show_headline(dataset)
st.write("Export the current labels, without removed samples. The dataset is not changed.")

with st.sidebar:
    st.markdown("**Samples**")
    scored = dataset.view().score_names()
    which = st.radio(
        "Samples",
        [ALL, SUSPECTS],
        key="export-which",
        disabled=not scored,
        label_visibility="collapsed",
        help=None if scored else "Score a run to get suspects.",
    )
    splits = list(dataset.info["splits"])
    split = st.selectbox("Split", ["all splits", *splits], key="export-split") if splits else None
    split = None if split == "all splits" else split
chosen = {"only_suspects": which == SUSPECTS, "split": split}


@st.cache_data(max_entries=16, show_spinner="Reading the images …")
def surveyed(stamp: tuple, chosen: dict, _view):
    """Cached by the view's stamp, which is unique per dataset and table versions."""
    return survey(_view, MOST_SAMPLES)


def written(job: Job) -> None:
    lines = job.result["message"].splitlines()
    st.success("  \n".join(map(text.error_text, lines)))


def figures(found) -> None:
    shown = {
        "Samples": found.samples,
        "Labels changed": found.relabelled,
        "Removed, not exported": found.removed,
        "Without a label": found.unlabelled,
    }
    with st.container(horizontal=True, gap="medium"):
        for title, value in shown.items():
            if value or title != "Without a label":
                st.metric(title, f"{value:,}", width="content")
        if found.bytes is not None:
            st.metric("Images", format_bytes(found.bytes), width="content")


def pick_format() -> str:
    return st.radio(
        "Format",
        list(FORMATS),
        key="export-format",
        format_func=lambda name: FORMATS[name].title,
        captions=[entry.about for entry in FORMATS.values()],
    )


def download(view, name: str, suffix: str, images: bool, bom: bool, found) -> None:
    """Draw the download button, or a hint if the download would be too large."""
    too_much = found.samples > MOST_SAMPLES or (found.bytes or 0) > MOST_BYTES
    if too_much and (format != MANIFEST or images):
        st.info(
            f"Too large to download (over {MOST_SAMPLES:,} images or {format_bytes(MOST_BYTES)}). "
            "Write it to a folder on this machine instead."
        )
        return
    if format == MANIFEST:
        zipped = images or not found.table_says_all
        label = f"Download {SUFFIXES[suffix]}"
        file = f"{name}.zip" if zipped else download_name(view, name, suffix)
        label += " in a zip" if zipped else ""
        make = lambda: manifest_bytes(view, name + suffix, images, zipped, bom)  # noqa: E731
    else:
        label, file = "Download as a zip", f"{name}.zip"
        make = lambda: export_zip(view, format, name)  # noqa: E731
    st.download_button(
        label, make, file, type="primary", icon=":material/download:", on_click="ignore"
    )


def write_here(name: str, suffix: str, images: bool, bom: bool, found) -> None:
    """Draw the form that exports to this machine as a job, and the equivalent command."""
    st.markdown("**Or save on this machine**")
    proposed = f"~/{name}{suffix if format == MANIFEST else ''}"
    target = st.text_input(
        "File" if format == MANIFEST else "New folder",
        proposed,
        key=f"export-target-{dataset.name}-{proposed}",
    )
    link = (
        FORMATS[format].files
        and found.samples > found.without_file
        and st.checkbox(
            "Hard links instead of copies",
            key="export-link",
            help="Needs no disk space, but editing such a file also changes the original.",
        )
    )
    busy = active or jobs.busy(dataset.name)
    if st.button("Save", icon=":material/save:", key="export-write", disabled=busy):
        options = {"format": format, "link": bool(link), "images": images, "bom": bom}
        try:
            path = absolute(paths.typed(target))
            check_export(path, **options)
        except LabelAuditError as error:
            text.show_error(error)
        else:
            jobs.begin("export", dataset.name, target=str(path), **chosen, **options)
    st.caption("Command line:")
    st.code(command(target, bool(link), images, bom), language=None, wrap_lines=True)


def command(target: str, link: bool, images: bool, bom: bool) -> str:
    place = (
        target
        if target.startswith("~/") and shlex.quote(target[2:]) == target[2:]
        else (shlex.quote(target))
    )
    parts = [f"labelaudit export {dataset.name} {place}"]
    parts += [f"--format {format}"] if format != MANIFEST else []
    flags = {"--link": link, "--images": images, "--bom": bom}
    flags["--suspects"] = chosen["only_suspects"]
    parts += [flag for flag, wanted in flags.items() if wanted]
    parts += [f"--split {shlex.quote(split)}"] if split else []
    return " ".join(parts)


active = jobs.show(dataset.name, ["export"], written, also_others=False) == jobs.ACTIVE
view = selection(dataset, **chosen)
try:
    found = surveyed(view.fields.stamp(), {"dataset": dataset.name, **chosen}, view)
except LabelAuditError as error:
    st.warning(text.error_text(error))
    st.stop()
figures(found)
if not found.relabelled and not found.removed:
    st.info(
        "No label has changed since the images were loaded. Apply your verdicts to change labels."
    )
    st.page_link("pages/suspects/apply.py", label="Apply verdicts", icon=":material/task_alt:")
if wrong := still_wrong(dataset):
    st.warning(
        f"{wrong:,} of these labels {verb(wrong, 'is a planted mistake', 'are planted mistakes')}. "
        f"Restore {verb(wrong, 'it', 'them')} before you use the exported labels."
    )
    st.page_link("pages/data/noise.py", label="Restore labels", icon=":material/shuffle:")
left, right = st.columns([2, 3], gap="large")
with left:
    format = pick_format()
with right, st.container(border=True):
    st.markdown(f"**{FORMATS[format].title}**")
    suffix, images, bom = "", False, False
    if format == MANIFEST:
        suffix = st.segmented_control(
            "As",
            list(SUFFIXES),
            default=".csv",
            key="export-suffix",
            format_func=SUFFIXES.get,
            required=True,
        )
        bom = suffix == ".csv" and st.checkbox(
            "For Excel",
            key="export-bom",
            help="Begins the file with a byte order mark, so that Excel shows letters such as é.",
        )
        if found.without_file:
            images = st.checkbox(
                f"Include the {counted(found.without_file, 'image')} stored in the dataset",
                value=True,
                key="export-images",
                help="These images have no file. Without them the table cannot be loaded again.",
            )
    name = f"{dataset.name}-{'labels' if format == MANIFEST else format}"
    download(view, name, suffix, images, bom, found)
    write_here(name, suffix, images, bom, found)
if scored:
    st.page_link(
        "pages/suspects/results.py",
        icon=":material/fact_check:",
        label="Download suspects with scores on Results",
    )
