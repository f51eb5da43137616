"""Gates as JUnit XML (the Ant task's schema, as Jenkins and GitLab read it), which CI shows as tests."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from pipeline.audits.result import Gate
from pipeline.report.budget import failures, requirement


def gates_as_junit(suite_name: str, model: str, gates: Sequence[Gate]) -> bytes:
    """One test case per gate; without gates, one case that passed.

    Args:
        suite_name: of the whole, such as `pipeline audit`.
        model: what the gates are about.
    """
    failed = sum(not gate.passed for gate in gates)
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites, "testsuite", name=suite_name, tests=str(max(1, len(gates))), failures=str(failed), errors="0"
    )
    for gate in gates:
        case = ElementTree.SubElement(suite, "testcase", classname=model, name=f"{gate.name} {requirement(gate)}")
        for failure in failures([gate]):
            ElementTree.SubElement(case, "failure", message=failure, type="gate")
    if not gates:
        ElementTree.SubElement(suite, "testcase", classname=model, name="audited")
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content
