"""Reads pytest's report. It was written beside untrusted code, so it is read as data and never believed on its own."""

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field

_DECLARATION = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass
class JunitReport:
    """Names of the tests by outcome; a name may occur more than once."""

    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    """Name of a failed test -> the first line of its message."""


def read_junit(text: str) -> JunitReport | None:
    """The report, or None where it is none."""
    if _DECLARATION.search(text):
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    report = JunitReport()
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        if problem is not None:
            report.failed[name] += 1
            report.reasons[name] = (problem.get("message") or "").partition("\n")[0][:300]
        elif case.find("skipped") is not None:
            report.skipped[name] += 1
        else:
            report.passed[name] += 1
    return report
