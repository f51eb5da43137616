"""`pipeline compare`: two audits side by side, without running anything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from pipeline.commands import options
from pipeline.commands.audit import print_result

_AUDIT = click.Path(path_type=Path)


@click.command()
@click.argument("audit", type=_AUDIT)
@click.argument("baseline", type=_AUDIT)
@options.seed
@options.json_file
@click.option("--max-delta", type=options.Finite(), help="Gate: fail where the interval of the delta ends above this.")
def compare(audit: Path, baseline: Path, seed: int, json_file: Path | None, max_delta: float | None) -> int:
    """Compare AUDIT with BASELINE on the pictures that both saw.

    Each is a run directory, or a file that 'pipeline audit --predictions' wrote.
    """
    from pipeline.audits.compare import compare as compare_audits
    from pipeline.gates import delta_gates
    from pipeline.progress import Reporter

    result = compare_audits(audit, baseline, seed=seed)
    gates = delta_gates(result.robustness.delta, max_delta)
    result = replace(result, gates=tuple(gates))
    print_result(result, Reporter())
    options.write_json_to(json_file, result.to_json())
    return 0 if all(gate.passed for gate in gates) else 1
