"""`pipeline verify`: is a run what it says it is, and who says so?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands import options
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.trust.signature import Signer
    from pipeline.trust.verification import Verified


@click.command()
@click.argument("named", metavar="RUN|BUNDLE|FILE", type=options.ModelPath())
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="Who holds this public key signed it.")
@click.option(
    "--identity", metavar="ID", help="This identity signed it with Sigstore: an address, or a workflow's URI."
)
@click.option("--issuer", metavar="URL", help="Who confirmed the identity; GitHub's workflows by default.")
@click.option("--require-signature", is_flag=True, help="Fail where neither --key nor --identity is given.")
@click.option("--rebuild", is_flag=True, help="Make the run again from its data, and compare every file: a run's time.")
@click.option("--from", "start", metavar="STAGE", help="With --rebuild: believe the stages before this one.")
@click.option("--dataset", metavar="PATH", help="With --rebuild: where the run's own pictures lie by now.")
@options.data_dir
def verify(
    named: Path,
    key: Path | None,
    identity: str | None,
    issuer: str | None,
    require_signature: bool,
    rebuild: bool,
    start: str | None,
    dataset: str | None,
    data_dir: Path | None,
) -> int:
    """Compare the files of RUN, or of the zip that 'pipeline bundle' made of it, with its manifest and each other.

    Without a key it finds whatever was changed in one place and not in all; who made the files, only a signature tells.
    Of any other FILE the signature alone is verified.
    """
    from export.graph import shown

    if (start or dataset) and not rebuild:
        raise PipelineError(f"{'--from' if start else '--dataset'} is for --rebuild: add it, or leave this out")
    again = _Rebuild(start, dataset, data_dir) if rebuild else None
    verified = _verified(named, _signer(key, identity, issuer, required=require_signature), again)
    for problem in verified.problems:
        click.echo(shown(problem))
    if not verified.problems:
        click.echo(shown(verified.summary))
    return 1 if verified.problems else 0


def _signer(key: Path | None, identity: str | None, issuer: str | None, *, required: bool) -> Signer | None:
    from pipeline.trust.signature import GITHUB_ACTIONS, Signer

    if key and identity:
        raise PipelineError("name one signer: --key or --identity")
    if issuer and not identity:
        raise PipelineError("--issuer confirms an identity: name it with --identity")
    if key or identity:
        return Signer(key, identity, issuer or GITHUB_ACTIONS)
    if required:
        raise PipelineError("--require-signature: name whose it must be, with --key PUB or --identity ID")
    return None


@dataclass(frozen=True, slots=True)
class _Rebuild:
    """How a run is made again."""

    start: str | None
    dataset: str | None
    data_dir: Path | None

    def __call__(self, directory: Path, verified: Verified) -> Verified:
        """What was verified, and what the run made again differs in; one whose files disagree is not worth the time."""
        from pipeline.flow import STAGES
        from pipeline.progress import Reporter
        from pipeline.trust.rebuild import rebuilt_differently

        if verified.problems:
            return verified
        options.require_training_packages()
        dataset = None if self.dataset is None else options.whole_path(self.dataset)
        differing = rebuilt_differently(
            STAGES, directory, Reporter(), dataset=dataset, data_dir=self.data_dir, start=self.start
        )
        part = f", made again from stage '{self.start}'," if self.start else ", made again,"
        return replace(verified, problems=tuple(differing), summary=f"{verified.summary}{part} are the same bytes")


def _verified(named: Path, signer: Signer | None, again: _Rebuild | None) -> Verified:
    from pipeline.trust.bundle import opened_bundle
    from pipeline.trust.signature import signature_problems
    from pipeline.trust.verification import Verified, verify_run

    if not named.is_file():
        options.finished_run(named)
        verified = verify_run(named, signer)
        return again(named, verified) if again else verified
    if named.suffix == ".zip":
        with opened_bundle(named) as (directory, problems):
            options.finished_run(directory)
            verified = verify_run(directory, signer)
            verified = replace(verified, problems=(*problems, *verified.problems))
            return again(directory, verified) if again else verified
    if again:
        raise PipelineError(f"{named} is no run and no bundle: there is nothing to make again")
    if signer is None:
        raise PipelineError(f"{named} is no run and no bundle: name who signed it, with --key PUB or --identity ID")
    return Verified(tuple(signature_problems(named, signer, {})), f"{named} is signed by {signer.in_words()}")
