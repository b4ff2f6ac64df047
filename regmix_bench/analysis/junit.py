"""Verdicts as a JUnit XML file, which services that run tests can show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from regmix_bench.analysis.drops import Verdict, model_words
from regmix_bench.records.accuracies import metric_words


def as_junit(verdicts: Iterable[Verdict]) -> bytes:
    """Return a file with one JUnit test case per comparison; the failing ones say why."""
    verdicts = list(verdicts)
    counts = {"tests": str(len(verdicts)), "failures": str(sum(v.failed for v in verdicts))}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "regmix-bench check", **counts})
    for verdict in verdicts:
        what = f"{verdict.checkpoint} {verdict.threat} {metric_words(verdict.metric)}"
        name = f"{model_words(verdict)} · {what}"
        attributes = {"classname": _xml_text(verdict.record), "name": _xml_text(name)}
        case = ElementTree.SubElement(suite, "testcase", attributes)
        titles = ("reference", "now", "difference", "tolerance")
        numbers = {title: getattr(verdict, title) for title in titles}
        shown = [f"{title} {n:.4f}" for title, n in numbers.items() if n is not None]
        text = _xml_text(", ".join([*shown, verdict.note]))
        if verdict.failed:
            failure = {"type": verdict.verdict, "message": f"{verdict.verdict}: {text}"}
            ElementTree.SubElement(case, "failure", failure)
        else:
            ElementTree.SubElement(case, "system-out").text = f"{verdict.verdict}: {text}"
    ElementTree.indent(root)
    found: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return found


def _xml_text(text: str) -> str:
    # XML 1.0 has no way to write most control characters, and an error message may hold them.
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
