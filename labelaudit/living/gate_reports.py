"""The answer of the gate as JUnit XML and as Markdown, for the pages of a pipeline."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from ..export.provenance import as_line
from .gate import FAILED, UNDECIDED, GateResult, WorstImage, unrounded_percent

# Characters that XML 1.0 does not allow.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$^-])")


def junit_xml(result: GateResult) -> str:
    """Return a JUnit document with one test case, which GitLab, Jenkins and others show.

    A failed gate is a failure, an undecided one an error. The text lists the worst images.
    """
    failed, undecided = result.status == FAILED, result.status == UNDECIDED
    counts = {"tests": "1", "failures": str(int(failed)), "errors": str(int(undecided))}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "labelaudit", **counts})
    limit = unrounded_percent(result.max_wrong)
    name = f"at most {limit} of the labels of {result.dataset} are wrong"
    case = ElementTree.SubElement(suite, "testcase", {"classname": "labelaudit", "name": name})
    text = "\n".join([result.why, *result.notes, *map(_line, result.worst)])
    properties = ElementTree.SubElement(case, "properties")
    known = {"fingerprint": result.fingerprint or "unknown", "version": result.version}
    for key, value in known.items():
        ElementTree.SubElement(properties, "property", {"name": key, "value": value})
    if failed or undecided:
        tag, kind = ("failure", FAILED) if failed else ("error", UNDECIDED)
        found = ElementTree.SubElement(case, tag, {"type": kind, "message": result.why})
        found.text = text
    else:
        ElementTree.SubElement(case, "system-out").text = text
    for element in root.iter():
        element.text = element.text and _NOT_XML.sub("?", element.text)
        element.attrib = {key: _NOT_XML.sub("?", value) for key, value in element.attrib.items()}
    root.insert(0, ElementTree.Comment(f" {as_line(result.origin)} "))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def markdown(result: GateResult) -> str:
    """Return a summary with a table of the worst images, for the summary page of a pipeline."""
    errors = result.errors
    lines = [
        f"## Labels of {_escaped(result.dataset)}: {result.status}",
        "",
        _escaped(result.why),
        "",
        *(f"- {_escaped(note)}" for note in result.notes),
        f"- about {errors.wrong:,.0f} of {errors.labels:,} labels are wrong "
        f"({errors.low:,.0f} to {errors.high:,.0f})",
        f"- labels reviewed: {errors.reviewed:,}, of which accepted: {result.accepted:,}",
        f"- run {_escaped(result.run)}, LabelAudit {result.version}",
        f"- state of images and labels: {result.fingerprint or 'unknown'}",
        *(f"- accepted, but not counted: {_escaped(p)} {_escaped(w)}" for p, w in result.stale),
    ]
    if result.worst:
        lines += ["", "| id | image | label | suggested | suspicion |", f"|{' --- |' * 5}"]
        lines += [_row(image) for image in result.worst]
    return "\n".join([*lines, "", f"<!-- {as_line(result.origin)} -->"]) + "\n"


def _row(image: WorstImage) -> str:
    cells = [str(image.id), image.path or "", image.label, image.suggested or "", _suspicion(image)]
    return f"| {' | '.join(map(_escaped, cells))} |"


def _line(image: WorstImage) -> str:
    return (
        f"{image.id}  {image.path or ''}  labelled {image.label}, suggested "
        f"{image.suggested or 'none'} ({_suspicion(image)})"
    )


def _suspicion(image: WorstImage) -> str:
    return "by verdict" if image.suspicion is None else f"{image.suspicion:.3f}"


def _escaped(text: str) -> str:
    """Return text that Markdown shows as it is; names of files and classes are not trusted."""
    return _MARKDOWN.sub(r"\\\1", html.escape(_NOT_XML.sub("?", " ".join(text.split()))))
