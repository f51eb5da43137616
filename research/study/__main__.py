"""Does what the search knows of a subnet tell how robust its int8 file will be?

python -m research.study --target NAME --out DIR
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, get_args

import click
import cloup

from pipeline.cli import main
from pipeline.commands import options
from pipeline.commands.configured import configured
from pipeline.config import SETTINGS
from pipeline.errors import PipelineError

_OWN = ("dataset", "seed", "supernet", "finetune_epochs", "sigmas")


@cloup.command()
@cloup.option_group(
    "Study",
    options.target,
    cloup.option("--subnets", type=click.IntRange(min=8), default=30, show_default=True, help="Random ones that fit."),
    cloup.option(
        "--trainings",
        default="inherited",
        show_default=True,
        metavar="T[,T…]",
        help="inherited (the supernet's weights), sgd, sam: each subnet is trained in each of these ways.",
    ),
    cloup.option("--audit-images", type=click.IntRange(min=1), default=1000, show_default=True, help="Test images."),
)
@configured({"As of a run": [SETTINGS[name] for name in _OWN]})
@options.data_dir
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the study.")
def study(
    given: dict[str, Any],
    targets: str | None,
    subnets: int,
    trainings: str,
    audit_images: int,
    data_dir: Path | None,
    out: Path,
) -> None:
    """Measure, train, quantize and audit random subnets; tell what went with the robustness of the int8 files.

    Called again, it goes on where it stopped. Writes study.json, STUDY.md and its plots.
    """
    from hardware_profiles.profile import load_profile
    from pipeline.files import sha256_of
    from pipeline.layers import configured as configuration
    from pipeline.progress import Reporter
    from pipeline.run_data import load_data
    from pipeline.runs.layout import SUPERNET
    from pipeline.runs.manifest import write_manifest
    from research.study.analysis import conclusions, sam_against_sgd
    from research.study.pages import study_screen, write_study
    from research.study.population import Population, measure
    from research.study.records import Study, Training

    names = options.split_names(targets)
    if len(names) > 1:
        raise PipelineError("a study is of one target")
    chosen = tuple(dict.fromkeys(part.strip() for part in trainings.split(",")))
    if unknown := [t for t in chosen if t not in get_args(Training)]:
        raise PipelineError(f"--trainings: '{unknown[0]}' is none of {', '.join(get_args(Training))}")
    options.require_training_packages()
    counts = {"audit_images": audit_images, "device_images": 0, "roundings": True, "recalibrated": True}
    usual = {"finetune_epochs": 5, "sigmas": (0.02, 0.05, 0.1)}
    config = configuration({**usual, **given, **counts, "target": names[0], "quantize": "ptq"})
    profile, data, reporter = load_profile(names[0]), load_data(config, data_dir), Reporter()
    population = Population(config, profile, data, data_dir, subnets, cast(tuple[Training, ...], chosen))
    members = list(measure(population, out, reporter))
    found = Study(
        target=config.target,
        dataset=data.name,
        seed=config.seed,
        finetune_epochs=config.training.finetune_epochs,
        audit_images=min(audit_images, len(data.test)),
        supernet_sha256=sha256_of(out / SUPERNET),
        members=tuple(members),
        conclusions={training: conclusions(members, training, config.seed) for training in population.trainings},
        sam_against_sgd=sam_against_sgd(members, config.seed),
    )
    write_study(found, out)
    write_manifest(out)
    reporter.console.print(study_screen(found))


if __name__ == "__main__":
    main(study)
