"""The choice of features: what each is, and what it takes on this machine."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from ..core.errors import LabelAuditError
from ..dataset.dataset import Dataset
from ..features.extractors import AUTO, JOIN, all_extractors, check_extractor
from ..features.stored import stored_features
from .feature_cost import Estimate, estimate
from .jobs import duration
from .text import error_text, plain, show_error

POLL_SECONDS = 0.5
REFERENCE = "lite0"  # the extractor that the cost of larger networks is compared with
OTHER = "other"


@dataclass(frozen=True)
class Larger:
    """A larger network. factor: its time per photograph as a multiple of REFERENCE's."""

    title: str
    meaning: str
    factor: float


# Factors: measured on one thread of a processor, without decoding.
LARGER = {
    "timm:vit_base_patch32_clip_224.openai": Larger(
        "CLIP ViT-B/32",
        "Learned from images and their captions: good at objects, scenes and drawings.",
        1.3,
    ),
    "timm:convnext_tiny.in12k_ft_in1k": Larger(
        "ConvNeXt tiny",
        "Trained on 12,000 classes of ImageNet: good at everyday objects.",
        2.2,
    ),
    "timm:vit_small_patch14_reg4_dinov2.lvd142m": Larger(
        "DINOv2 small",
        "Learned from images without labels: good at fine differences between classes.",
        18,
    ),
}


def title(name: str) -> str:
    """Return the title of features, such as "EfficientNet-Lite0 and Patches" for lite0+patches."""
    kinds = all_extractors()
    parts = []
    for part in name.split(JOIN):
        if part in LARGER:
            parts.append(LARGER[part].title)
        else:
            parts.append(kinds[part].title if part in kinds else part)
    return " and ".join(parts)


def choose(dataset: Dataset, key: str) -> str | None:
    """Draw the choice with its cost. Returns the name of the features; None if it is incomplete.

    key: prefix of the widget keys.
    """
    options = _options(dataset)
    chosen = st.selectbox(
        "Features",
        list(options),
        format_func=lambda name: options[name][0],
        key=f"{key}-features",
        help="Each image is compared with all others by its features: numbers that say what it "
        "looks like. They are extracted once and stored.",
    )
    meaning = options[chosen][1]
    if chosen != OTHER:
        _cost(dataset, chosen, meaning)
        return chosen
    return _other(dataset, key, meaning)


def _options(dataset: Dataset) -> dict[str, tuple[str, str]]:
    """Return (title, meaning) of each choice by name; Automatic first."""
    kinds = all_extractors()
    single = {name: kind for name, kind in kinds.items() if not kind.takes_name}
    imported = [
        name
        for name in stored_features(dataset.view().frame)
        if name.partition(":")[0] not in kinds
    ]
    return {
        AUTO: (
            "Automatic",
            "Tries what suits the images and uses what predicts their labels best.",
        ),
        **{name: (kind.title, kind.meaning) for name, kind in single.items()},
        **{name: (f"{name} (imported)", "Features that you imported.") for name in imported},
        **{name: (larger.title, larger.meaning) for name, larger in LARGER.items()},
        OTHER: ("Another network …", "Any network of timm or torchvision, by its name."),
    }


def _other(dataset: Dataset, key: str, meaning: str) -> str | None:
    name = st.text_input(
        "Network",
        key=f"{key}-network",
        placeholder="timm:NAME or torchvision:NAME",
        help="Such as timm:convnext_tiny.in12k_ft_in1k or torchvision:resnet50. The weights are "
        "downloaded on first use. Join several with +.",
    ).strip()
    if not name:
        st.caption(meaning)
        return None
    try:
        for part in name.split(JOIN):
            check_extractor(part.strip())
    except LabelAuditError as error:
        show_error(error)
        return None
    asked = f"{key}-measure-{name}"
    if st.session_state.get(asked) or st.button(
        "Measure the time",
        key=f"{key}-measure",
        icon=":material/timer:",
        help="Downloads the weights and times the network on a few images.",
    ):
        st.session_state[asked] = True
        _cost(dataset, name, "")
    return name


def _cost(dataset: Dataset, name: str, meaning: str) -> None:
    """Draw the meaning of a choice and what it takes; first while it is measured."""
    larger = LARGER.get(name)
    measured = REFERENCE if larger else name
    waits = estimate(dataset, measured) is None
    page_is_drawn = False

    def draw() -> None:
        nonlocal page_is_drawn
        found = estimate(dataset, measured)
        if page_is_drawn and waits and found is not None:
            st.rerun()
        page_is_drawn = True  # before that, starting again would lose the click that is handled
        text = "Timing a few images …" if found is None else ""
        if found:
            text = _larger_text(larger, found) if larger else _text(name, found)
        st.caption(f"{meaning} {text}".strip())

    st.fragment(draw, run_every=POLL_SECONDS if waits else None)()


def _text(name: str, found: Estimate) -> str:
    if found.error:
        return error_text(found.error)
    will = ""
    if name == AUTO:
        which = " and ".join(title(each) for each in found.seconds_of)
        will = f"Here: **{plain(which)}**. "
    if not found.images:
        return f"{will}The features are stored already: this takes seconds."
    return (
        f"{will}About **{duration(found.seconds)}** on this machine for {found.images:,} images "
        f"({found.images_per_second:,.0f} images/s).{_others_text(found) if name == AUTO else ''}"
    )


def _others_text(found: Estimate) -> str:
    """Return what the larger networks would take, if REFERENCE was timed."""
    seconds = found.seconds_of.get(REFERENCE)
    if not seconds:
        return ""
    times = [f"{each.title} about {duration(seconds * each.factor)}" for each in LARGER.values()]
    return f" Larger networks would take longer: {', '.join(times)}."


def _larger_text(larger: Larger, found: Estimate) -> str:
    """Return what a larger network takes, from the time of REFERENCE; nothing is downloaded."""
    times = f"about {larger.factor:.2g} times as long as EfficientNet-Lite0"
    downloads = "The weights are downloaded on first use."
    if found.error or not found.images:
        return f"It takes {times}. {downloads}"
    return f"About **{duration(found.seconds * larger.factor)}** ({times}). {downloads}"
