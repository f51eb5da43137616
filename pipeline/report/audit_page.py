"""The audit's page: one self-contained file with heat maps, pictures whose answers flipped, and what happens inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.audits.images import Variant, variants
from pipeline.audits.result import AuditResult, LayerNoise
from pipeline.report import quantities
from pipeline.report.budget import measured, requirement
from pipeline.report.page import Cell

if TYPE_CHECKING:
    from pipeline import Audit

_PICTURES, _FORMS = 8, 5  # flipped pictures shown, and forms of each


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One corruption: groups of five cells, and which of the differences are significant."""

    name: str
    groups: list[list[Cell]]


@dataclass(frozen=True, slots=True)
class Form:
    """A picture under one corruption: what both models said, and whether the model is right."""

    png: str
    corruption: str
    model: str
    baseline: str
    right: bool


@dataclass(frozen=True, slots=True)
class FlippedPicture:
    """A picture whose answers changed, clean first."""

    index: int
    label: str
    lost: int
    gained: int
    forms: list[Form]


def render_audit_page(found: Audit) -> str:
    """The whole page as HTML."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    for name in ("count", "percent", "plain", "points"):
        environment.filters[name] = getattr(quantities, name)
    environment.filters |= {"requirement": requirement, "measured": measured}
    template = environment.from_string(files("pipeline.report").joinpath("audit_page.html.jinja").read_text("utf-8"))
    result = found.result
    return template.render(
        r=result,
        roles=list(result.models),
        passed=all(gate.passed for gate in result.gates),
        heat=_heat_rows(result),
        flipped=_flipped(found),
        layers=result.layers or [],
        layer_corruptions=list(result.layers[0].saturated) if result.layers else [],
        saturation=_shaded_layers(result.layers or []),
    )


def _heat_rows(result: AuditResult) -> list[HeatRow]:
    from pipeline.report.plots import shades

    rows = []
    for name, by_role in result.robustness.per_corruption.items():
        groups = [
            [Cell(f"{100 * e:.1f}", *shade) for e, shade in zip(errors, shades(errors, "error"), strict=True)]
            for errors in by_role.values()
        ]
        if result.comparison is not None:
            differences = [ours - theirs for ours, theirs in zip(by_role["model"], by_role["baseline"], strict=True)]
            tests = result.comparison.mcnemar[name]
            cells = zip(differences, shades(differences, "difference"), tests, strict=True)
            groups.append(
                [Cell(quantities.points(d) + ("*" if t.p_holm < 0.05 else ""), *shade) for d, shade, t in cells]
            )
        rows.append(HeatRow(name.replace("_", " "), groups))
    return rows


def _flipped(found: Audit) -> list[FlippedPicture]:
    if found.result.comparison is None:
        return []
    saw = found.predictions
    rows = variants(list(saw.corruptions))
    model, baseline = saw.predictions["model"].classes, saw.predictions["baseline"].classes
    pictures = []
    for picture in found.result.comparison.flipped[:_PICTURES]:
        column = int(np.searchsorted(saw.indices, picture.index))
        changed = np.flatnonzero((model[:, column] == picture.label) != (baseline[:, column] == picture.label))
        shown = [0, *[int(row) for row in changed if row][:_FORMS]]
        forms = [
            Form(
                _png(found.images.pictures(rows[row], np.array([picture.index]))[0]),
                _title(rows[row]),
                found.class_names[model[row, column]],
                found.class_names[baseline[row, column]],
                bool(model[row, column] == picture.label),
            )
            for row in shown
        ]
        label = found.class_names[picture.label]
        pictures.append(FlippedPicture(picture.index, label, picture.lost, picture.gained, forms))
    return pictures


def _title(variant: Variant) -> str:
    return f"{variant[0]} {variant[1] or ''}".replace("_", " ").strip()


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    import cv2

    _done, content = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    return base64.b64encode(content.tobytes()).decode()


def _shaded_layers(layers: Sequence[LayerNoise]) -> list[list[Cell]]:
    from pipeline.report.plots import shades

    rows = []
    for layer in layers:
        shares = list(layer.saturated.values())
        # Full colour at a quarter of the values: more is beyond any use.
        colours = shades([min(4 * share, 1.0) for share in shares], "error")
        rows.append([Cell(f"{100 * share:.2f}", *shade) for share, shade in zip(shares, colours, strict=True)])
    return rows
