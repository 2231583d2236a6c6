"""axe-core finds no serious fault on any page of the app, in the light and in the dark theme."""

from __future__ import annotations

import pytest
from app_server import CHROMIUM, open_page
from axe_playwright_python.base import AXE_SCRIPT
from playwright import sync_api as playwright

from labelaudit import Review, suspects

pytestmark = [
    pytest.mark.system,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium to run this"),
]

TITLES = {
    "Methods": "How suspects are found",
    "Dataset": "digits",
    "Sync": "Sync",
    "Noise": "Rehearse",
    "Train": "Train",
    "Predict": "Predict and score",
    "Jobs": "Jobs",
    "Results": "suspects",
    "Duplicates": "Duplicates",
    "Insights": "Insights",
    "Annotators": "Annotators",
    "Trend": "Trend",
    "Apply": "Apply",
    "Export": "Export",
    "History": "History",
    "Review": "Review",
}

# Streamlit draws the menu as <ul><div><li>, which the app cannot change: the rules on lists are not
# asked about the menu. The order of headings counts although axe calls it moderate. What is behind
# a dialog of the review page is not asked about: axe takes the dialog for its background.
FAULTS = """async (rules) => {
    const only = rules.length ? { runOnly: rules } : {}
    const { violations } = await axe.run({ elementRef: true, resultTypes: ["violations"], ...only })
    const menu = document.querySelector("[data-testid=stSidebarNavItems]")
    const ofStreamlit = (rule, node) =>
        ["list", "listitem"].includes(rule) && menu.contains(node.element)
    const dialog = [...document.querySelectorAll("*")]
        .map((each) => each.shadowRoot?.querySelector("dialog[open]")).find(Boolean)
    const isBehind = (node) => dialog && !dialog.contains(node.element)
    const counts = ({ id, impact }) =>
        ["serious", "critical"].includes(impact) || id === "heading-order"
    return violations
        .filter(counts)
        .flatMap(({ id, nodes }) => nodes
            .filter((node) => !ofStreamlit(id, node) && !isBehind(node))
            .map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`))
}"""


# What is opened on a page: (role, name) of what is clicked, or ("key", a key).
PARTS = {
    "Dataset": [("button", "Classes"), ("button", "Import issues"), ("button", "Delete")],
    "Results": [("tab", "Where are they?"), ("tab", "Rehearsal"), ("button", "Tag")],
    "Insights": [("radio", "Training map"), ("radio", "Similarity map"), ("radio", "Compare runs")],
    "Apply": [("tab", "Patch file")],
    "Review": [("key", "?"), ("key", "f"), ("key", "s")],
}
NO_HEADLINE = ("Methods", "Jobs", "Noise")  # pages of no dataset, all datasets, a known number

OPEN_EXPANDERS = """() => document.querySelectorAll(
    "[data-testid=stExpander] details:not([open]) > summary").forEach((each) => each.click())"""
TITLE_WITHOUT_STYLE = """() => {
    const top = () => document.querySelector("[data-testid=stMain] h1").getBoundingClientRect().top
    const ours = [...document.styleSheets].find((sheet) =>
        sheet.ownerNode.textContent.includes("la-grid"))
    const styled = top()
    ours.disabled = true
    const bare = top()
    ours.disabled = false
    return [styled, bare]
}"""


def test_axe_finds_no_serious_fault_on_any_page(page, server, audited):
    Review(audited, "ann").decide(suspects(audited).head(1)[0].id, "keep")  # in lists of verdicts
    found, no_headline = [], []

    def look(where: str) -> None:
        page.evaluate(OPEN_EXPANDERS)
        settle(page)
        found.extend((where, fault) for fault in page.evaluate(FAULTS, []))
        use_theme(page, "dark")
        found.extend((f"{where}, dark", f) for f in page.evaluate(FAULTS, ["color-contrast"]))
        use_theme(page, "light")

    page.emulate_media(reduced_motion="reduce")
    page.goto(server)
    open_page(page, None, "Find the wrong labels")
    page.evaluate(AXE_SCRIPT)  # once, as the other pages are opened in the app
    look("Start")
    styled, bare = page.evaluate(TITLE_WITHOUT_STYLE)
    assert styled == bare  # the title does not move when the style sheet arrives
    page.get_by_role("button", name="Load a dataset").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Path", exact=True).wait_for()
    look("Load a dataset")
    page.keyboard.press("Escape")
    for name, title in TITLES.items():
        open_page(page, name, title)
        look(name)
        if name not in NO_HEADLINE and not page.get_by_text("labels are wrong;").count():
            no_headline.append(name)
        for role, part in PARTS.get(name, ()):
            if role == "key":
                page.keyboard.press(part)
            else:
                page.get_by_test_id("stMain").get_by_role(role, name=part).click()
            page.wait_for_timeout(200)  # a click needs a moment to reach the script
            look(f"{name}, {part}")
            page.keyboard.press("Escape")
    page.goto(f"{server}/review")
    words = page.locator(".why")
    playwright.expect(words).to_have_css("font-size", "15px")
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    playwright.expect(words).to_have_css("font-size", "30px")  # the browser's text size
    assert found == []
    assert no_headline == []


def use_theme(page, name: str) -> None:
    page.emulate_media(color_scheme=name)
    playwright.expect(page.get_by_test_id("stApp")).to_have_css("color-scheme", name)
    settle(page)


def settle(page) -> None:
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
