"""The documents: their links lead somewhere, the README stays short, and the commands they show exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from pipeline.cli import pipeline

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_lead_to_a_file_and_a_title(path: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", path.read_text())):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), f"{path.name} links to {link}"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{path.name} links to {link}"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert {path for path in DOCUMENTS if path.is_relative_to(index.parent) and path != index} <= linked


def test_the_readme_has_at_most_700_words() -> None:
    assert len(BLOCK.sub("", (ROOT / "README.md").read_text()).split()) <= 700


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_commands_and_options_that_are_shown_exist(path: Path) -> None:
    if path.name == "CHANGELOG.md":
        return  # tells of the past, too
    text = path.read_text()
    for call in re.findall(r"(?:^|`)pipeline ((?:[a-z]+)(?:[^`\n]*))", text, re.MULTILINE):
        words = call.split("    ")[0].split()
        command = pipeline.commands.get(words[0])
        assert command is not None, f"{path.name}: pipeline {call}"
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.commands.get(words[1], command)
        known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
        for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", " ".join(words)):
            assert option in known | {"--help"}, f"{path.name}: pipeline {call}"


def test_the_threat_model_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text()))
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert named <= set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
