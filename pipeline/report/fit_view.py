"""`pipeline fit` for people: one target resource by resource, several as a matrix, and what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hardware_profiles.suggestions import Suggestion
from pipeline.fitting import Fit
from pipeline.report.quantities import count, interval_ms, milliseconds, percent, size

_NAMES = {
    "params": "parameters",
    "macs": "MACs",
    "flash_bytes": "flash",
    "sram_bytes": "SRAM",
    "latency_ms": "latency",
}
_WRITTEN: Mapping[str, Callable[[float], str]] = {
    "params": count,
    "macs": count,
    "flash_bytes": size,
    "sram_bytes": size,
    "latency_ms": milliseconds,
}
_SHRUNK = ("flash_bytes", "sram_bytes", "macs")  # what is said of a smaller network
_MATRIX_SUGGESTIONS = 8  # more would bury the matrix


def show(answers: Sequence[Fit]) -> None:
    """Print the answers to the terminal."""
    console = Console(highlight=False)
    console.width = max(console.width, 140)  # a line per row, also where the output is piped
    if len(answers) == 1:
        _one(answers[0], console)
    else:
        _matrix(answers, console)


def _one(answer: Fit, console: Console) -> None:
    console.print(f"{_verdict(answer)}  {answer.target} · runtime {answer.runtime}")
    table = Table("", "needs", "of", "", "headroom", box=None, pad_edge=False)
    for resource, needed in _needs(answer).items():
        write, over = _WRITTEN[resource], answer.excess[resource] > 0
        room = answer.headroom[resource]
        table.add_row(
            _NAMES[resource],
            write(needed),
            write(answer.budget[resource]),
            _mark(not over) + f" {percent(answer.excess[resource] + 1, 0)}",
            f"{write(room)} left" if not over else f"[red]{write(-room)} over[/]",
        )
    console.print(table)
    ms = answer.footprint.latency_ms
    counted = f"; the firmware takes about {count(answer.instructions)} instructions" if answer.instructions else ""
    console.print(f"latency is an estimate: {interval_ms(ms.low, ms.high)}{counted}")
    _obstacles(answer, console)
    for what in answer.uncounted:
        console.print(f"[yellow]not counted: {what}[/]")
    _peak(answer, console)
    _shrink(answer, console)
    _plain(answer, console)
    if answer.operators:
        _operators(answer, console)
    for suggestion in answer.suggestions:
        console.print(f"{'→' if suggestion.fits else '✗'} {_sentence(suggestion, answer)}")
    if answer.violations and not answer.suggestions:
        console.print("no smaller input or width makes it fit, as far as its operators say")


def _operators(answer: Fit, console: Console) -> None:
    table = Table("operator", "name", box=None, pad_edge=False)
    for heading in ("MACs", "parameters", "alive", "latency", "share"):
        table.add_column(heading, justify="right")
    total, slow = answer.footprint.latency_ms.mid, "float" if answer.runtime == "litert" else "reference C"
    for row in answer.operators:
        table.add_row(
            row.op if row.accelerated else f"{row.op} [yellow]{slow}[/]",
            _short(row.name),
            count(row.macs),
            count(row.params),
            size(row.live_bytes),
            milliseconds(row.latency_ms.mid),
            percent(row.latency_ms.mid / total, 0),
        )
    console.print(table)


def _matrix(answers: Sequence[Fit], console: Console) -> None:
    table = Table("target", "runtime", "fits", *_NAMES.values(), "latency of", "over by", box=None, pad_edge=False)
    for answer in answers:
        ms = answer.footprint.latency_ms
        over = [f"{_NAMES[v.resource]} {_WRITTEN[v.resource](v.needs - v.has)}" for v in answer.violations]
        table.add_row(
            answer.target,
            answer.runtime,
            _verdict(answer),
            *(_share(answer.excess[resource]) for resource in _NAMES),
            f"{interval_ms(ms.low, ms.high)} of {answer.budget['latency_ms']:g}",
            ", ".join(over) or "–",
        )
    for column in table.columns[:-1]:  # where the line is too short, only the last one wraps
        column.no_wrap = True
    console.print(table)
    console.print(f"{sum(a.fits for a in answers)} of {len(answers)} targets fit; shares are of the budget")
    for runtime in dict.fromkeys(answer.runtime for answer in answers):
        answer = next(answer for answer in answers if answer.runtime == runtime)
        console.print(f"{answer.target}, {runtime}:", end=" ")
        _peak(answer, console)
        _shrink(answer, console)
        _obstacles(answer, console)
        for what in answer.uncounted:
            console.print(f"[yellow]not counted: {what}[/]")
    missed = [answer for answer in answers if answer.suggestions]
    for answer in missed[:_MATRIX_SUGGESTIONS]:
        console.print(f"{answer.target}: {_sentence(answer.suggestions[0], answer)}")
    if len(missed) > _MATRIX_SUGGESTIONS:
        console.print(f"and {len(missed) - _MATRIX_SUGGESTIONS} more: name a target to see what would make it fit")


def _share(excess: float) -> str:
    text = percent(excess + 1, 0)
    return f"[red]{text}[/]" if excess > 0 else text


def _verdict(answer: Fit) -> str:
    if not answer.complete:
        return "[yellow]incomplete[/]"
    return "[green]yes[/]" if answer.fits else "[red]no[/]"


def _mark(good: bool) -> str:
    return "[green]✓[/]" if good else "[red]✗[/]"


def _peak(answer: Fit, console: Console) -> None:
    peak = answer.peak_op
    console.print(f"peak memory: {peak.op} '{_short(peak.name)}', {size(peak.live_bytes)} of the arena alive")
    if answer.unaccelerated:
        console.print(f"{_slower(answer)}: {', '.join(answer.unaccelerated)}")
    if answer.unknown:
        console.print(f"[yellow]of unknown cost, so that all numbers are too low: {', '.join(answer.unknown)}[/]")


def _shrink(answer: Fit, console: Console) -> None:
    """`→ pipeline shrink: saves 196 kB of flash and 3.76 M MACs`, or that it is done."""
    if answer.shrink is None:
        return
    saved = " and ".join(_amount(r, answer.shrink.saves[r]) for r in _SHRUNK if answer.shrink.saves[r] > 0)
    dead = f"channels that no output depends on: {answer.shrink.removed_channels:,}"
    if answer.shrink.counted:
        console.print(f"{dead}; the firmware leaves them out, which saves {saved}")
    else:
        fits = ", and fits" if answer.shrink.fits and not answer.fits else ""
        console.print(f"→ {dead}; pipeline shrink saves {saved}{fits}")


def _plain(answer: Fit, console: Console) -> None:
    for layer in answer.plain:
        console.print(Text(f"plain C: {layer.name}: {layer.reason}", "yellow"))


def _obstacles(answer: Fit, console: Console) -> None:
    for runtime, reason in answer.obstacles.items():
        console.print(Text(f"{runtime} can't run it: {reason}", "yellow"))


def _slower(answer: Fit) -> str:
    """Why operators are not accelerated; XNNPACK has kernels for all, and those for floats take longer."""
    if answer.runtime == "litert":
        return "in float, which takes longer than int8"
    return f"on reference C, since {answer.runtime} has no fast kernel for it there"


def _short(name: str) -> str:
    return name.rpartition(";")[2]  # TFLite joins the names of what it fused


def _needs(answer: Fit) -> dict[str, float]:
    f = answer.footprint
    return {
        "params": f.params,
        "macs": f.macs,
        "flash_bytes": f.flash_bytes,
        "sram_bytes": f.sram_bytes,
        "latency_ms": f.latency_ms.mid,
    }


def _sentence(suggestion: Suggestion, answer: Fit) -> str:
    """`drop the input to 28x28: saves 21 kB of SRAM and 2.9 M MACs, and fits`, of the resources that were broken."""
    broken = [violation.resource for violation in answer.violations]
    saved = " and ".join(_amount(r, suggestion.saves[r]) for r in broken if suggestion.saves[r] > 0)
    if suggestion.fits:
        return f"{suggestion.change}: saves {saved}, and fits"
    short = {r: -answer.headroom[r] - suggestion.saves[r] for r in _NAMES}
    left = " and ".join(_amount(r, over) for r, over in short.items() if over > 0)
    return f"{suggestion.change}: saves {saved or 'nothing'}, and is still over by {left}"


def _amount(resource: str, amount: float) -> str:
    counted = resource in ("params", "macs")
    return f"{_WRITTEN[resource](amount)} {'' if counted else 'of '}{_NAMES[resource]}"
