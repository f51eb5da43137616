"""`pipeline data check` for people: classes and parts, sizes, then what is wrong. Renderables; the caller prints."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flatnas.data.findings import Finding
from flatnas.data.inspection import ClassCount, Inspection, Quartiles

_MOST_CLASSES, _MOST_CASES = 40, 3  # shown; the JSON and the page have the rest


def data_summary(found: Inspection) -> Group:
    """The whole answer, some lines long."""
    parts: list[RenderableType] = [
        Text(f"{'✓' if found.usable else '✗'} {found.path}: {totals(found)}", "bold"),
        _classes(found.classes),
    ]
    parts += [Text(f"{name}  {text}") for name, text in facts(found)]
    parts += [_finding(finding) for finding in found.findings]
    if not found.findings:
        parts.append(Text("nothing is wrong with them", "green"))
    return Group(*parts)


def totals(found: Inspection) -> str:
    """`120 pictures of 3 classes`."""
    return f"{found.pictures:,} pictures of {len(found.classes)} classes"


def facts(found: Inspection) -> list[tuple[str, str]]:
    """What the pictures are like, a name and a text each."""
    height, width = found.size_hw
    rows = [
        ("net's input", f"{width} x {height}"),
        ("mirrored in training", "yes" if found.mirrors else "no"),
    ]
    for name, quartiles in (("width", found.widths), ("height", found.heights)):
        if quartiles is not None:
            rows.append((name, _quartiles(quartiles)))
    for name, counts in (("formats", found.formats), ("modes", found.modes)):
        rows.append((name, ", ".join(f"{key} {count:,}" for key, count in counts.items())))
    return rows


def _quartiles(q: Quartiles) -> str:
    return f"{q.smallest} to {q.largest}, half of them {q.lower} to {q.upper}, median {q.median}"


def _classes(classes: tuple[ClassCount, ...]) -> Table:
    grouped = any(row.groups for row in classes)
    table = Table("class", box=None, pad_edge=False)
    for heading in ("training", "validation", "test", *(["groups"] if grouped else [])):
        table.add_column(heading, justify="right")
    for row in classes[:_MOST_CLASSES]:
        counts = [row.train, row.val, row.test, *([row.groups] if grouped else [])]
        table.add_row(Text(row.name), *(f"{count:,}" for count in counts))
    if len(classes) > _MOST_CLASSES:
        table.add_row(f"and {len(classes) - _MOST_CLASSES} more")
    return table


def _finding(finding: Finding) -> Text:
    shown = [" = ".join(case) for case in finding.cases[:_MOST_CASES]]
    more = f" and {finding.count - len(shown):,} more" if finding.count > len(shown) and shown else ""
    cases = f": {', '.join(shown)}{more}" if shown else ""
    number = f"{finding.count:,} " if finding.cases else ""
    return Text(f"{'✗' if finding.fails else '!'} {number}{finding.text}{cases}", "red" if finding.fails else "yellow")
