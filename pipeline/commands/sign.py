"""`pipeline sign`: put one's name to a run or a file."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands import options
from pipeline.errors import PipelineError


@click.command()
@click.argument("signed", metavar="RUN|FILE", type=options.ModelPath())
@click.option("--key", type=click.Path(path_type=Path, dir_okay=False), help="Private key of an elliptic curve, PEM.")
@click.option("--sigstore", is_flag=True, help="Sign by an identity, with Sigstore; needs the network.")
def sign(signed: Path, key: Path | None, sigstore: bool) -> None:
    """Sign a finished RUN, or any FILE, in OpenSSF Model Signing's format.

    A run gets its SBOM and its provenance, which the signature covers. PIPELINE_KEY_PASSWORD holds the password of an
    encrypted key. 'python -m model_signing verify' accepts the signature, too.
    """
    from pipeline.trust.signature import sign_with_key, sign_with_sigstore

    if (key is None) == (not sigstore):
        raise PipelineError("sign by a key (--key FILE) or by an identity (--sigstore)")
    if signed.is_dir():
        _state(signed)
    elif not signed.is_file():
        raise PipelineError(f"there is no file or run {signed}")
    written = sign_with_key(signed, key) if key else sign_with_sigstore(signed)
    click.echo(f"{signed} is signed: {written}", err=True)


def _state(directory: Path) -> None:
    """Write what goes with a run before it is signed; a run whose files disagree is not signed."""
    from pipeline.trust.finished import read_finished
    from pipeline.trust.listing import listing
    from pipeline.trust.statements import write_statements
    from pipeline.trust.verification import sound_run

    options.finished_run(directory)
    write_statements(read_finished(directory, listing(directory).files), directory)
    sound_run(directory, "signed")
