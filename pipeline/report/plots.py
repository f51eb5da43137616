"""The page's plots as inline SVG, and the colours of its heat maps: the one place that imports matplotlib.

Colours are written as `var(--name)`, so that a plot follows the page into dark mode and onto paper. Text stays text,
in the page's own font. The same report gives the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import Any, Literal

from pipeline.audits.result import Delta
from pipeline.report.quantities import count, percent, points, size
from pipeline.report.run_report import RunReport

# matplotlib wants colours; these stand for the page's until the SVG is written.
_INK, _MUTED, _LINE, _ACCENT, _PEAK = "#010101", "#020202", "#030303", "#040404", "#050505"
_VARIABLES = {_INK: "ink", _MUTED: "muted", _LINE: "line", _ACCENT: "accent", _PEAK: "peak"}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "font.size": 11,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "text.parse_math": False,  # an operator may be called anything, `$` included
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
}
_FAR = 1.6  # a limit farther than this times what is drawn would squeeze the plot; the page tells it in words


def front_plot(report: RunReport) -> str:
    """The Pareto front: clean error against MACs, coloured by R, the chosen subnet ringed."""
    front, selected = report.search.front, report.search.selected
    chosen = [e for e in front if e.arch == report.arch] or ([selected] if selected else [])
    alt = f"Pareto front of {len(front)} subnets, clean error against MACs, coloured by R."
    for e in chosen[:1]:
        error = percent(e.clean_error)
        alt += f" The chosen subnet has {count(e.footprint.macs)} MACs and a clean error of {error}."
    with style():
        figure = figure_of(6.6, 3.9)
        from matplotlib import colormaps

        axes = figure.add_subplot()
        x = [e.footprint.macs / 1e6 for e in front]
        y, r = [100 * e.clean_error for e in front], [100 * e.r(report.search.sigmas) for e in front]
        axes.plot(x, y, color=_LINE, linewidth=1, zorder=1)
        few = colormaps["cividis"].resampled(32)  # with more than 50, its bar is a bitmap
        dots = axes.scatter(x, y, c=r, cmap=few, s=58, edgecolors=_MUTED, linewidths=0.7, zorder=2)
        if len(set(r)) > 1:
            bar = figure.colorbar(dots, label="R: accuracy lost to weight noise, points", pad=0.02)
            bar.outline.set_visible(False)
        for e in chosen[:1]:
            at = (e.footprint.macs / 1e6, 100 * e.clean_error)
            axes.scatter(*at, s=210, facecolors="none", edgecolors=_PEAK, linewidths=2.2, zorder=3)
            axes.annotate(
                "chosen", at, xytext=(0, 14), textcoords="offset points", color=_PEAK, weight="bold", ha="center"
            )
        if x and report.budget["macs"] / 1e6 <= _FAR * max(x):
            _limit(axes, report.budget["macs"] / 1e6, "limit")
        axes.margins(0.08, 0.16)
        axes.set(xlabel="MACs, millions", ylabel="clean error in the search, %")
        axes.grid(visible=True)
        return _svg(figure, "front", alt)


def hypervolume_plot(hypervolume: Sequence[float]) -> str:
    """Hypervolume of the front after each iteration of the search."""
    alt = f"Hypervolume over {len(hypervolume)} iterations"
    alt += f", from {hypervolume[0]:.3f} to {hypervolume[-1]:.3f}." if hypervolume else "."
    with style():
        figure = figure_of(4.4, 3.9)
        from matplotlib.ticker import MaxNLocator

        axes = figure.add_subplot()
        axes.plot(range(1, len(hypervolume) + 1), hypervolume, color=_ACCENT, linewidth=2, marker="o", markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.margins(0.06, 0.12)
        axes.set(xlabel="iteration", ylabel="hypervolume")
        axes.grid(visible=True, axis="y")
        return _svg(figure, "hypervolume", alt)


def delta_plot(delta: Delta) -> str:
    """The int8 model's mean corruption error minus the float model's, with its 95 % interval, against zero."""
    low, high = (100 * end for end in delta.ci95)
    interval = f"{points(delta.ci95[0], 2)} to {points(delta.ci95[1], 2)}"
    alt = f"int8 minus float: {points(delta.mean, 2)} points, 95 % interval {interval}."
    with style():
        figure = figure_of(5.2, 1.35)
        axes = figure.add_subplot()
        reach = 1.25 * max(abs(low), abs(high), 0.4)
        axes.set(xlim=(-reach, reach), ylim=(-1, 1), yticks=[], xlabel="percentage points")
        for x, side, text in ((0, "left", "← int8 better"), (1, "right", "int8 worse →")):
            axes.text(x, 1, text, transform=axes.transAxes, ha=side, va="top", color=_MUTED)
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=_MUTED, linewidth=1)
        axes.plot((low, high), (0, 0), color=_ACCENT, linewidth=3)
        axes.plot((low, high), (0, 0), color=_ACCENT, linestyle="none", marker="|", markersize=14, markeredgewidth=2)
        axes.plot(100 * delta.mean, 0, color=_ACCENT, marker="o", markersize=9)
        return _svg(figure, "delta", alt)


def memory_plot(report: RunReport) -> str:
    """Arena bytes alive during each operator, in execution order from the top, the peak named, the SRAM limit drawn."""
    rows, limit = report.memory, report.budget["sram_bytes"]
    peak = next((row for row in rows if row.peak), None)
    most = max((row.live_bytes for row in rows), default=0)
    unit, divisor = ("kB", 1e3) if most >= 1e3 else ("B", 1.0)
    alt = f"Memory alive during each of {len(rows)} operators; the SRAM limit is {size(limit)}."
    if peak:
        alt += f" The peak is {peak.name} ({peak.op}) with {size(peak.live_bytes)}."
    with style():
        figure = figure_of(7.0, max(1.6, 0.62 + 0.2 * len(rows)))
        axes = figure.add_subplot()
        places = range(len(rows))
        axes.barh(
            places,
            [row.live_bytes / divisor for row in rows],
            color=[_PEAK if row.peak else _ACCENT for row in rows],
            height=0.72,
        )
        axes.set_yticks(places, [_short(row.name) for row in rows], fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        for place, row in enumerate(rows):
            if row.peak:
                axes.get_yticklabels()[place].set(color=_PEAK, weight="bold")
                at, text = (row.live_bytes / divisor, place), f"peak {size(row.live_bytes)}"
                axes.annotate(
                    text, at, (5, 0), textcoords="offset points", va="center", color=_PEAK, weight="bold", fontsize=10
                )
        axes.set_xlim(0, 1.22 * most / divisor or 1)
        if most and limit <= _FAR * most:
            axes.set_xlim(0, 1.1 * max(limit, 1.12 * most) / divisor)
            _limit(axes, limit / divisor, f"SRAM limit {size(limit)}")
        axes.set_xlabel(f"alive in the arena, {unit}")
        axes.grid(visible=True, axis="x")
        return _svg(figure, "memory", alt)


def shades(values: Sequence[float], scale: Literal["error", "difference"]) -> list[tuple[str, str]]:
    """Background and text colour of each cell of a heat map.

    Args:
        values: fractions. An error runs from white at 0 to dark at 1; a difference from blue (better) over white to
            red (worse), with full colour at 10 points: both maps are told apart by colour-blind readers.
        scale: which of the two.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    if scale == "error":
        colours = colormaps["YlGnBu"]([min(max(value, 0.0), 1.0) for value in values])
    else:
        colours = colormaps["RdBu_r"]([min(max(0.5 + value / 0.2, 0.0), 1.0) for value in values])
    return [(to_hex(rgba), "#fff" if _luminance(rgba) < 0.19 else "#111") for rgba in colours]


def _luminance(rgba: Sequence[float]) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _limit(axes: Any, value: float, text: str) -> None:
    axes.axvline(value, color=_INK, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        (value, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 2),
        textcoords="offset points",
        ha="right",
        va="bottom",
        fontsize=10,
    )


def _short(name: str) -> str:
    return name if len(name) <= 34 else "…" + name[-33:]


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's defaults and ours, so that no matplotlibrc changes the page."""
    from matplotlib import style as matplotlib_style

    with matplotlib_style.context(["default", _STYLE]):
        yield


def figure_of(width: float, height: float) -> Any:
    """An empty figure, in inches; without pyplot, so that no backend or state of the caller's is touched."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Any, name: str, alt: str) -> str:
    text = StringIO()
    silent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=silent)
    return _inline(text.getvalue(), name, alt)


def _inline(svg: str, name: str, alt: str) -> str:
    """An SVG document as an element of an HTML page: no prolog, metadata or size; ids unique within the page."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|href=")#', rf"\1#{name}-", svg)
    svg = re.sub(
        r"font: (bold |\d+ )?([\d.]+px)[^;\"]*", lambda m: f"font-weight: {m[1] or 400}; font-size: {m[2]}", svg
    )
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)  # before matplotlib 3.11 it was part of `font`
    for colour, variable in _VARIABLES.items():
        svg = re.sub(rf"\b(fill|stroke): {colour}", rf"\1: var(--{variable})", svg)
    root = re.search(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', svg)
    assert root is not None
    return f'<svg viewBox="{root[1]}" role="img" aria-label="{escape(alt)}">{svg[root.end() :]}'
