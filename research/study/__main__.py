"""Does what the search knows of a subnet tell how robust its int8 file will be?

python -m research.study --target NAME --out DIR
"""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click

from pipeline.cli import main
from pipeline.commands import options
from pipeline.errors import PipelineError


@click.command()
@options.target
@options.dataset
@options.data_dir
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of the study.")
@click.option("--subnets", type=click.IntRange(min=8), default=30, show_default=True, help="Random ones that fit.")
@click.option(
    "--trainings",
    default="inherited",
    show_default=True,
    metavar="T[,T…]",
    help="inherited (the supernet's weights), sgd, sam: each subnet is trained in each of these ways.",
)
@click.option("--finetune-epochs", type=click.IntRange(min=1), default=5, show_default=True, help="Of sgd and sam.")
@click.option("--audit-images", type=click.IntRange(min=1), default=1000, show_default=True, help="Test images.")
@click.option("--sigma", "sigmas", default="0.02,0.05,0.1", show_default=True, metavar="S[,S…]")
@click.option(
    "--supernet", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Instead of the shipped."
)
@options.seed
def study(
    targets: str,
    dataset: str,
    data_dir: Path | None,
    out: Path,
    subnets: int,
    trainings: str,
    finetune_epochs: int,
    audit_images: int,
    sigmas: str,
    supernet: Path | None,
    seed: int,
) -> None:
    """Measure, train, quantize and audit random subnets; tell what went with the robustness of the int8 files.

    Called again, it goes on where it stopped. Writes study.json, STUDY.md and its plots.
    """
    from hardware_profiles.profile import load_profile
    from pipeline.files import sha256_of
    from pipeline.progress import Reporter
    from pipeline.run_data import load_data
    from pipeline.runs.layout import SUPERNET
    from pipeline.runs.manifest import write_manifest
    from research.study.analysis import conclusions, sam_against_sgd
    from research.study.pages import study_screen, write_study
    from research.study.population import Population, StudyConfig, measure
    from research.study.records import Study, Training

    names = options.split_names(targets)
    if len(names) > 1:
        raise PipelineError("a study is of one target")
    chosen = tuple(dict.fromkeys(part.strip() for part in trainings.split(",")))
    if unknown := [t for t in chosen if t not in get_args(Training)]:
        raise PipelineError(f"--trainings: '{unknown[0]}' is none of {', '.join(get_args(Training))}")
    options.require_training_packages()
    config = StudyConfig(
        target=names[0],
        dataset=dataset,
        seed=seed,
        quantize="ptq",
        finetune_epochs=finetune_epochs,
        sigmas=options.sigmas(sigmas),
        supernet=str(supernet.resolve()) if supernet else None,
        audit_images=audit_images,
    )
    profile, data, reporter = load_profile(names[0]), load_data(dataset, data_dir, None, supernet), Reporter()
    population = Population(config, profile, data, data_dir, subnets, cast(tuple[Training, ...], chosen))
    members = list(measure(population, out, reporter))
    found = Study(
        target=config.target,
        dataset=data.name,
        seed=seed,
        finetune_epochs=finetune_epochs,
        audit_images=min(audit_images, len(data.test)),
        supernet_sha256=sha256_of(out / SUPERNET),
        members=members,
        conclusions={training: conclusions(members, training, seed) for training in population.trainings},
        sam_against_sgd=sam_against_sgd(members, seed),
    )
    write_study(found, out)
    write_manifest(out)
    reporter.console.print(study_screen(found))


if __name__ == "__main__":
    main(study)
