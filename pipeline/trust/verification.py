"""Everything that can be said of a run directory: without a key whether it agrees with itself, with one who vouches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.files import sha256_of
from pipeline.runs.layout import INT8_TFLITE, MANIFEST, PROVENANCE, REPORT, SBOM, SIGNATURE
from pipeline.trust.agreement import disagreements
from pipeline.trust.finished import read_finished
from pipeline.trust.listing import Listing, listing
from pipeline.trust.signature import Signer, signature_problems


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found.

    Attributes:
        problems: a line each; none in a directory that is as its run left it.
        summary: a line of what was looked at, where there are no problems.
    """

    problems: tuple[str, ...]
    summary: str


def verify_run(directory: Path, signer: Signer | None = None) -> Verified:
    """Compare a finished directory with its manifest, its files with each other, and all with its signature.

    Args:
        signer: who must have signed it; None asks for no signature.

    Raises:
        PipelineError: the manifest is damaged, or the signer's key can't be used.
    """
    found = listing(directory)
    problems = found.problems()
    looked_at = [f"{len(found.manifest)} files are as the run left them"]
    if {REPORT, INT8_TFLITE} & (found.manifest.keys() | found.files.keys()):
        problems += _compared(directory, found)
        looked_at.append("agree with each other")
    if signer:
        beside = [path for path in (MANIFEST, SBOM, PROVENANCE) if (directory / path).is_file()]
        problems += signature_problems(directory, signer, found.files | {p: sha256_of(directory / p) for p in beside})
        looked_at.append(f"are signed by {signer.in_words()}")
    elif (directory / SIGNATURE).is_file():
        looked_at.append("are signed, by whom was not asked (--key, --identity)")
    else:
        looked_at.append("are unsigned: nothing proves who made them")
    return Verified(tuple(problems), ", ".join(looked_at))


def sound_run(directory: Path, what: str) -> Listing:
    """The content of a run that has no problems, before something is made of it.

    Args:
        what: would be done to it, for the message.

    Raises:
        PipelineError: it has problems.
    """
    if problems := verify_run(directory).problems:
        more = f", and {len(problems) - 1} more problems" if problems[1:] else ""
        raise PipelineError(f"{directory} is not {what}: {problems[0]}{more}; 'pipeline verify' lists them")
    return listing(directory)


def _compared(directory: Path, found: Listing) -> list[str]:
    try:
        return disagreements(read_finished(directory, found.files))
    except PipelineError as error:
        return [str(error)]
