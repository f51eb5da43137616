"""Is the search worth its measurements, against random search with several times as many?

python -m research.searches --target NAME --out DIR
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import cloup

from pipeline.cli import main
from pipeline.commands import options
from pipeline.commands.configured import configured
from pipeline.config import SETTINGS
from pipeline.errors import PipelineError

_COMPARED = ("searched_hypervolume", "random_hypervolume", "equal_hypervolume", "searched_error", "random_error")


@cloup.command()
@cloup.option_group(
    "Comparison",
    options.target,
    cloup.option("--times", type=click.IntRange(min=1), default=4, show_default=True, help="As many random ones."),
    cloup.option(
        "--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Searches, seeds 0 to N - 1."
    ),
)
@configured({"As of a run": [SETTINGS[name] for name in ("dataset", "preset", "supernet")]})
@options.data_dir
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the study.")
def searches(
    given: dict[str, Any], targets: str | None, times: int, seeds: int, data_dir: Path | None, out: Path
) -> None:
    """Compare the hypervolume of searches with that of random search, seed by seed.

    Called again, it goes on where it stopped. Writes search-against-random.json.
    """
    from itertools import count
    from statistics import median

    from flatnas.nets.supernet_file import read_space
    from flatnas.search.measured import Measured
    from hardware_profiles.profile import load_profile
    from pipeline.evaluations import stored_evaluator, watched
    from pipeline.feasibility import check_feasible
    from pipeline.files import sha256_of, write_json
    from pipeline.layers import configured as configuration
    from pipeline.progress import Reporter
    from pipeline.run_data import load_data
    from pipeline.runs.facts import Origin
    from pipeline.runs.layout import SUPERNET
    from pipeline.runs.manifest import unfinish, write_manifest
    from pipeline.runs.runner import run_stages
    from pipeline.runs.stage import settings_from
    from pipeline.searching import Searching
    from pipeline.stages import supernet as supernet_stage
    from research.searches.match import match

    names = options.split_names(targets)
    if len(names) > 1:
        raise PipelineError("a study is of one target")
    options.require_training_packages()
    config = configuration({**given, "target": names[0]})
    profile, data, reporter = load_profile(names[0]), load_data(config, data_dir), Reporter()
    origin = Origin(config, profile, data)
    run_stages([supernet_stage.STAGE], out, origin, reporter)
    unfinish(out)
    path, searching = out / SUPERNET, settings_from(Searching, origin.value_of)
    space = read_space(path)
    check_feasible(space, profile)
    evaluate = stored_evaluator(searching.measurement, searching.evaluator, path, data, fallback=out)
    found = []
    with reporter.track("measuring subnets") as advance:
        per_seed = searching.plan.most * (1 + times)
        done, most = count(1), seeds * per_seed

        def show(measured: Measured) -> None:
            advance(next(done), most, f"error {measured.clean_error:.3f}")

        for seed in range(seeds):
            m = match(
                space,
                profile,
                evaluate,
                searching.judging.merit,
                plan=searching.plan,
                times=times,
                seed=seed,
                mapper=watched(show),
            )
            found.append(m)
            reporter.line(
                f"seed {seed}: search {m.searched_hypervolume:.4f} ({m.searched}), "
                f"random {m.random_hypervolume:.4f} ({m.random}), as many {m.equal_hypervolume:.4f}; "
                f"least error {m.searched_error:.3f}, random {m.random_error:.3f}"
            )
    medians = {name: median(getattr(m, name) for m in found) for name in _COMPARED}
    facts = {"target": names[0], "preset": config.preset, "dataset": data.name, "supernet_sha256": sha256_of(path)}
    measured = {"measurement": dict(searching.measurement), "matches": [asdict(m) for m in found], "median": medians}
    write_json(out / "search-against-random.json", facts | measured)
    write_manifest(out)
    searched, random = medians["searched_hypervolume"], medians["random_hypervolume"]
    reporter.line(f"median: search {searched:.4f}, random with {times}x {random:.4f}")


if __name__ == "__main__":
    main(searches)
