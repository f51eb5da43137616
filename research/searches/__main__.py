"""Is the search worth its measurements, against random search with several times as many?

python -m research.searches --target NAME --out DIR
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import cast

import click

from pipeline.choices import PresetName
from pipeline.cli import main
from pipeline.commands import options
from pipeline.config import PRESETS
from pipeline.errors import PipelineError

_COMPARED = ("searched_hypervolume", "random_hypervolume", "equal_hypervolume", "searched_error", "random_error")


@click.command()
@options.target
@options.dataset
@options.data_dir
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the study.")
@click.option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default="standard",
    show_default=True,
    help="Whose search, and how carefully it measures.",
)
@click.option("--times", type=click.IntRange(min=1), default=4, show_default=True, help="As many random ones.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Searches, seeds 0 to N - 1.")
@click.option(
    "--supernet", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Instead of the shipped."
)
def searches(
    targets: str,
    dataset: str,
    data_dir: Path | None,
    out: Path,
    preset: str,
    times: int,
    seeds: int,
    supernet: Path | None,
) -> None:
    """Compare the hypervolume of searches with that of random search, seed by seed.

    Called again, it goes on where it stopped. Writes search-against-random.json.
    """
    from itertools import count
    from statistics import median

    from flatnas.nets.supernet_file import read_space
    from flatnas.search.measured import Measured
    from hardware_profiles.profile import load_profile
    from pipeline.config import RunConfig
    from pipeline.evaluations import stored_evaluator, watched
    from pipeline.feasibility import check_feasible
    from pipeline.files import sha256_of, write_json
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
    given = str(supernet.resolve()) if supernet else None
    config = RunConfig(target=names[0], dataset=dataset, preset=cast(PresetName, preset), supernet=given)
    profile, data, reporter = load_profile(names[0]), load_data(dataset, data_dir, None, supernet), Reporter()
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
    facts = {"target": names[0], "preset": preset, "dataset": data.name, "supernet_sha256": sha256_of(path)}
    measured = {"measurement": dict(searching.measurement), "matches": [asdict(m) for m in found], "median": medians}
    write_json(out / "search-against-random.json", facts | measured)
    write_manifest(out)
    searched, random = medians["searched_hypervolume"], medians["random_hypervolume"]
    reporter.line(f"median: search {searched:.4f}, random with {times}x {random:.4f}")


if __name__ == "__main__":
    main(searches)
