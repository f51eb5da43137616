"""`pipeline verify`: is a run what it says it is, and who says so?"""

from __future__ import annotations

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
def verify(named: Path, key: Path | None, identity: str | None, issuer: str | None, require_signature: bool) -> int:
    """Compare the files of RUN, or of the zip that 'pipeline bundle' made of it, with its manifest and each other.

    Without a key it finds whatever was changed in one place and not in all; who made the files, only a signature tells.
    Of any other FILE the signature alone is verified.
    """
    from export.graph import shown

    verified = _verified(named, _signer(key, identity, issuer, required=require_signature))
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


def _verified(named: Path, signer: Signer | None) -> Verified:
    from pipeline.trust.bundle import opened_bundle
    from pipeline.trust.signature import signature_problems
    from pipeline.trust.verification import Verified, verify_run

    if not named.is_file():
        options.finished_run(named)
        return verify_run(named, signer)
    if named.suffix == ".zip":
        with opened_bundle(named) as (directory, problems):
            options.finished_run(directory)
            verified = verify_run(directory, signer)
            return Verified((*problems, *verified.problems), verified.summary)
    if signer is None:
        raise PipelineError(f"{named} is no run and no bundle: name who signed it, with --key PUB or --identity ID")
    return Verified(tuple(signature_problems(named, signer, {})), f"{named} is signed by {signer.in_words()}")
