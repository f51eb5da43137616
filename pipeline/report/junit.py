"""An audit's gates as JUnit XML (the Ant task's schema, as Jenkins and GitLab read it), which CI shows as tests."""

from __future__ import annotations

from xml.etree import ElementTree

from pipeline.audit.result import AuditResult
from pipeline.report.budget import requirement
from pipeline.report.quantities import plain


def gates_as_junit(result: AuditResult) -> bytes:
    """One test case per gate; an audit without gates is one case that passed."""
    failures = sum(not gate.passed for gate in result.gates)
    cases = max(1, len(result.gates))
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites, "testsuite", name="pipeline audit", tests=str(cases), failures=str(failures), errors="0"
    )
    model = result.models["model"].file
    for gate in result.gates:
        case = ElementTree.SubElement(suite, "testcase", classname=model, name=f"{gate.name} {requirement(gate)}")
        if not gate.passed:
            told = f"{gate.name} is {plain(gate.value)}, must be {requirement(gate)}"
            ElementTree.SubElement(case, "failure", message=told, type="gate")
    if not result.gates:
        ElementTree.SubElement(suite, "testcase", classname=model, name="audited")
    content: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return content
