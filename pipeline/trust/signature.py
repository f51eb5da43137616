"""Signatures of run directories and files, in OpenSSF Model Signing's format and by its own library.

What is signed: the manifest, every file that it lists, and the two statements beside it (SBOM and provenance); each as
its path and sha256 in an in-toto statement (https://github.com/ossf/model-signing-spec). Left out are the signature
itself, seconds and the lock, which the signature names, so that `model_signing verify` leaves them out, too.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError
from pipeline.files import write_bytes
from pipeline.runs.layout import LOCK, PLACES, SIGNATURE, TIMINGS
from pipeline.trust.packages import require_trust_packages

if TYPE_CHECKING:
    from model_signing.hashing import Config as Hashing
    from model_signing.verifying import Config as Verifying

PASSWORD = "PIPELINE_KEY_PASSWORD"  # the environment variable with an encrypted key's password
GITHUB_ACTIONS = "https://token.actions.githubusercontent.com"
_NOT_SIGNED = (SIGNATURE, TIMINGS, PLACES, LOCK)
_DAMAGED = (  # what the library raises on signatures that are none, or altered
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OSError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature counts: the holder of a key, or an identity that a Sigstore certificate names.

    Attributes:
        key: file of a public key, PEM.
        identity: an e-mail address or the URI of a workflow.
        issuer: who confirmed the identity.
    """

    key: Path | None = None
    identity: str | None = None
    issuer: str = GITHUB_ACTIONS

    def in_words(self) -> str:
        """For people."""
        return f"the key {self.key}" if self.key else f"{self.identity} ({self.issuer})"


def signature_of(signed: Path) -> Path:
    """Where the signature of a directory or a file lies."""
    return signed / SIGNATURE if signed.is_dir() else signed.with_name(f"{signed.name}.sig")


def sign_with_key(signed: Path, key: Path) -> Path:
    """Sign by a private key: an elliptic curve's (P-256, P-384 or P-521), PEM.

    Returns:
        The signature's path.

    Raises:
        PipelineError: the key can't be used, or the library is missing.
    """
    require_trust_packages()
    from model_signing.signing import Config

    try:
        password: Any = os.environb.get(PASSWORD.encode())  # bytes, as the library hands it on
        config = Config().use_elliptic_key_signer(private_key=key, password=password)
    except OSError as error:
        raise PipelineError(f"{key} can't be read: {error.strerror}") from error
    except TypeError as error:  # of a password: missing, or not needed
        raise PipelineError(f"{key}: {error}; {PASSWORD} holds the password of an encrypted key") from error
    except _key_errors() as error:
        raise PipelineError(f"{key} is no private key of an elliptic curve, or {PASSWORD} is wrong: {error}") from error
    return _sign(signed, config.set_hashing_config(_hashing(signed)).sign)


def sign_with_sigstore(signed: Path) -> Path:
    """Sign by an identity: the workflow's, where one runs, else whoever logs in. Needs the network.

    Returns:
        The signature's path.

    Raises:
        PipelineError: Sigstore can't be reached or refuses, or the library is missing.
    """
    require_trust_packages()
    from model_signing.signing import Config
    from sigstore.errors import Error as SigstoreError
    from sigstore.oidc import IdentityError, IssuerError

    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries; what comes of them is said once
    try:
        config = Config().use_sigstore_signer(use_ambient_credentials=True)
        return _sign(signed, config.set_hashing_config(_hashing(signed)).sign)
    except (SigstoreError, IdentityError, IssuerError, OSError) as error:
        raise PipelineError(f"Sigstore did not sign: {error}; --key signs without a network") from error


def _sign(signed: Path, sign: Callable[[Path, Path], None]) -> Path:
    """Put the signature in place whole: the library writes it piece by piece."""
    import tempfile

    path = signature_of(signed)
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / SIGNATURE
        sign(signed, made)
        write_bytes(path, made.read_bytes())
    return path


def signature_problems(signed: Path, signer: Signer, files: Mapping[str, str]) -> list[str]:
    """A line for each reason not to believe that a signer signed these files; none where the signer did.

    Args:
        files: sha256 by path of all that the signature must cover; empty for a single file, which it is about.

    Raises:
        PipelineError: the signer's key can't be used, Sigstore can't be reached, or the library is missing.
    """
    require_trust_packages()
    from cryptography.exceptions import InvalidSignature
    from sigstore.errors import VerificationError

    verifying, path = _verifying(signer), signature_of(signed)
    if not path.is_file() or path.is_symlink():
        return [f"not signed: there is no {path.name}"]
    try:
        verifying.verify(signed, path)
    except (InvalidSignature, VerificationError, *_DAMAGED) as error:
        if str(error).startswith("Signature mismatch"):  # the signer signed, but other files
            return _other_files(path, files)
        reason = str(error) or "it was not made by this key, or was altered"
        return [f"{path.name} is no signature of {signer.in_words()}: {reason}"]
    covered = _covered(path)
    return [f"{path.name} does not cover {name}" for name in sorted(files.keys() - covered.keys())]


def _other_files(path: Path, files: Mapping[str, str]) -> list[str]:
    """What differs between the files and those that were signed."""
    covered = _covered(path)
    changed = [name for name in sorted(files.keys() & covered.keys()) if files[name] != covered[name]]
    lines = [
        *(f"not as it was signed: {name}" for name in changed),
        *(f"added to what was signed: {name}" for name in sorted(files.keys() - covered.keys())),
        *(f"missing of what was signed: {name}" for name in sorted(covered.keys() - files.keys())),
    ]
    return lines if files and lines else [f"{path.name} is the signature of something else"]


def _verifying(signer: Signer) -> Verifying:
    from model_signing.verifying import Config
    from sigstore.errors import Error as SigstoreError

    if signer.key is None:
        assert signer.identity is not None, "a signer has a key or an identity"
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        try:
            return Config().use_sigstore_verifier(identity=signer.identity, oidc_issuer=signer.issuer)
        except (SigstoreError, OSError) as error:
            raise PipelineError(
                f"Sigstore's keys can't be fetched: {error}; --key verifies without a network"
            ) from error
    try:
        return Config().use_elliptic_key_verifier(public_key=signer.key)
    except OSError as error:
        raise PipelineError(f"{signer.key} can't be read: {error.strerror}") from error
    except _key_errors() as error:
        raise PipelineError(f"{signer.key} is no public key of an elliptic curve: {error}") from error


def _key_errors() -> tuple[type[Exception], ...]:
    """What comes of files that are no keys, or keys of another kind."""
    from cryptography.exceptions import UnsupportedAlgorithm

    return (ValueError, TypeError, AttributeError, UnsupportedAlgorithm)


def _hashing(signed: Path) -> Hashing:
    from model_signing.hashing import Config

    paths = _NOT_SIGNED if signed.is_dir() else ()
    return Config().set_ignored_paths(paths=paths, ignore_git_paths=False)


def _covered(path: Path) -> dict[str, str]:
    """The paths that a signature is about, and their digests: of one that was verified, so that its form is known."""
    statement = json.loads(base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"]))
    predicate = statement["predicate"]
    digests = {resource["name"]: resource["digest"] for resource in predicate["resources"]}
    if predicate["serialization"]["method"] == "shards":  # path:first:last
        return {name.rsplit(":", 2)[0]: digest for name, digest in digests.items()}
    return digests
