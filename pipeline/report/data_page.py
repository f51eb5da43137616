"""The page of `pipeline data check`: one self-contained file of at most 2 MB, with pictures of each class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from flatnas.data.findings import Finding
from flatnas.data.inspection import Inspected, Thumbnail
from pipeline.report.data_view import facts, totals

LARGEST_BYTES = 2_000_000
_PICTURES_BYTES = 1_500_000  # of all pictures, as text; the rest is for names, of which a finding keeps 200
_PER_CLASS, _CASES = 16, 8
_QUALITY = 70


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on the page."""

    jpeg: str
    title: str


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding with the pictures of its first cases, and the names of all that it keeps."""

    finding: Finding
    cases: list[list[Shown]]


@dataclass(frozen=True, slots=True)
class ShownClass:
    """A class with its counts and some of its pictures."""

    name: str
    counts: str
    pictures: list[Shown]


def render_data_page(found: Inspected) -> str:
    """The whole page as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("pipeline.report").joinpath("data_page.html.jinja").read_text("utf-8"))
    budget = _Budget(_PICTURES_BYTES)
    findings = [_shown_finding(finding, found.thumbnails, budget) for finding in found.inspection.findings]
    return template.render(
        r=found.inspection,
        totals=totals(found.inspection),
        facts=facts(found.inspection),
        findings=findings,
        classes=_shown_classes(found, budget),
    )


@dataclass(slots=True)
class _Budget:
    """Bytes that pictures may still take."""

    left: int

    def show(self, thumbnail: Thumbnail) -> Shown | None:
        """The picture, or None where it would not fit any more."""
        import PIL.Image

        buffer = io.BytesIO()
        pixels = thumbnail.pixels_hwc[..., 0] if thumbnail.pixels_hwc.shape[2] == 1 else thumbnail.pixels_hwc
        PIL.Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
        shown = Shown(base64.b64encode(buffer.getvalue()).decode(), f"{thumbnail.file} ({thumbnail.part})")
        self.left -= len(shown.jpeg) + len(shown.title)
        return shown if self.left >= 0 else None


def _shown_finding(finding: Finding, thumbnails: Sequence[Thumbnail], budget: _Budget) -> ShownFinding:
    by_file = {thumbnail.file: thumbnail for thumbnail in thumbnails}
    cases = []
    for case in finding.cases[:_CASES]:
        shown = [budget.show(by_file[file]) for file in case if file in by_file]
        cases.append([one for one in shown if one])
    return ShownFinding(finding, [case for case in cases if case])


def _shown_classes(found: Inspected, budget: _Budget) -> list[ShownClass]:
    """Pictures from all over each class, in turn, until the page is full."""
    classes = found.inspection.classes
    of_class: list[list[Thumbnail]] = [[] for _ in classes]
    for thumbnail in found.thumbnails:
        of_class[thumbnail.label].append(thumbnail)
    chosen = [its[:: max(1, len(its) // _PER_CLASS)][:_PER_CLASS] for its in of_class]
    shown: list[list[Shown]] = [[] for _ in classes]
    for turn in range(_PER_CLASS):
        for its, pictures in zip(chosen, shown, strict=True):
            if turn < len(its) and budget.left > 0 and (picture := budget.show(its[turn])):
                pictures.append(picture)
    return [
        ShownClass(row.name, f"{row.train:,} training, {row.val:,} validation, {row.test:,} test", pictures)
        for row, pictures in zip(classes, shown, strict=True)
    ]
