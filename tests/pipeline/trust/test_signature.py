"""Signatures: OpenSSF's own tool accepts ours, we accept its, and nobody else's."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import pipeline
from pipeline.errors import PipelineError
from pipeline.files import sha256_of, write_json
from pipeline.models import released_models
from pipeline.runs.manifest import write_manifest
from pipeline.trust import packages

pytest.importorskip("model_signing")


def call(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(pipeline, [str(a) for a in arguments], standalone_mode=False, env=environment)


def sign(signed: Path, key: Path) -> None:
    assert call("sign", signed, "--key", key).exception is None


def model_signing(*arguments: object) -> int:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_the_formats_own_tool_verifies_our_signature_and_notices_a_change(run: Path, keys: Any) -> None:
    sign(run, keys.private)
    verify = ("verify", "key", "--signature", run / "model.sig", "--public_key", keys.public, run)
    assert model_signing(*verify) == 0
    (run / "timings.json").write_text("{}")  # seconds and the lock are nobody's word
    (run / ".lock").touch()
    assert model_signing(*verify) == 0
    (run / "model/model.json").write_text("{}")
    assert model_signing(*verify) == 1


def test_we_verify_the_signature_of_the_formats_own_tool(run: Path, keys: Any) -> None:
    signed = model_signing("sign", "key", "--signature", run / "model.sig", "--private_key", keys.private, run)
    assert signed == 0
    result = call("verify", run, "--key", keys.public)
    assert (result.return_value, result.exception) == (0, None)
    assert f"are signed by the key {keys.public}" in result.stdout


def test_a_signature_of_a_part_does_not_vouch_for_the_whole(run: Path, keys: Any) -> None:
    arguments = ("--ignore-paths", run / "model", "--private_key", keys.private, run)
    assert model_signing("sign", "key", "--signature", run / "model.sig", *arguments) == 0
    result = call("verify", run, "--key", keys.public)
    assert result.return_value == 1
    assert "model.sig does not cover model/model.int8.tflite" in result.stdout


def everything_mended(run: Path, stranger: Any) -> None:
    """Weights are another's, and every hash of them is mended: without a key nothing is found."""
    path = run / "model/weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    for teller in ("report.json", "run.json", "MODEL_CARD.md"):
        old, new = sha256_of(path), sha256(content).hexdigest()
        told_before = sha256_of(run / teller)
        (run / teller).write_text((run / teller).read_text().replace(old, new))
        record = (run / "run.json").read_text()
        (run / "run.json").write_text(record.replace(told_before, sha256_of(run / teller)))
    path.write_bytes(bytes(content))
    (run / "sbom.cdx.json").unlink()
    (run / "provenance.intoto.json").unlink()
    write_manifest(run)
    assert call("verify", run).return_value == 0


def replayed(run: Path, stranger: Any) -> None:
    """The signature that the same maker put on another run."""
    shutil.copy(run.parent / "other/model.sig", run / "model.sig")


def altered_statement(run: Path, stranger: Any) -> None:
    """The signed list names the new file, under the old signature."""
    (run / "search/front.json").write_text("{}")
    bundle = json.loads((run / "model.sig").read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    for resource in statement["predicate"]["resources"]:
        if resource["name"] == "search/front.json":
            resource["digest"] = sha256_of(run / "search/front.json")
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    write_json(run / "model.sig", bundle)


def another_sbom(run: Path, stranger: Any) -> None:
    text = (run / "sbom.cdx.json").read_text()
    (run / "sbom.cdx.json").write_text(text.replace("numpy", "mumpy"))


SIGNED: dict[str, tuple[Callable[[Path, Any], object], str]] = {
    "everything mended": (everything_mended, "not as it was signed: model/weights.safetensors"),
    "the signature of another run": (replayed, "not as it was signed: model/model.int8.tflite"),
    "no signature": (lambda run, _: (run / "model.sig").unlink(), "not signed: there is no model.sig"),
    "the signature of a stranger": (
        lambda run, stranger: sign(run, stranger.private),
        "model.sig is no signature of the key",
    ),
    "an altered statement": (altered_statement, "model.sig is no signature of the key"),
    "a file added": (lambda run, _: (run / "notes.txt").write_text(""), "added to what was signed: notes.txt"),
    "a file left out": (lambda run, _: (run / "report.html").unlink(), "missing of what was signed: report.html"),
    "another manifest": (lambda run, _: write_json(run / "manifest.json", {}), "not as it was signed: manifest.json"),
    "another SBOM": (another_sbom, "not as it was signed: sbom.cdx.json"),
    "no provenance": (
        lambda run, _: (run / "provenance.intoto.json").unlink(),
        "missing of what was signed: provenance.intoto.json",
    ),
    "a signature that is none": (
        lambda run, _: (run / "model.sig").write_text("{}"),
        "model.sig is no signature of the",
    ),
    "brackets without end": (
        lambda run, _: (run / "model.sig").write_text("[" * 99_999),
        "model.sig is no signature of",
    ),
    "bytes that are no text": (
        lambda run, _: (run / "model.sig").write_bytes(b"\xff\xfe"),
        "model.sig is no signature of",
    ),
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_no_file_tells_the_signature_does(name: str, run: Path, keys: Any, stranger: Any) -> None:
    other = run.parent / "other"
    shutil.copytree(released_models()["cifar10-tiny"], other)
    sign(other, keys.private)
    sign(run, keys.private)
    assert call("verify", run, "--key", keys.public).return_value == 0
    manipulate, line = SIGNED[name]
    manipulate(run, stranger)
    result = call("verify", run, "--key", keys.public)
    assert result.exception is None
    assert result.return_value == 1
    assert any(problem.startswith(line) for problem in result.stdout.splitlines()), result.stdout


def test_signed_or_not_is_said_even_where_nobody_asks(run: Path, keys: Any) -> None:
    assert "are unsigned: nothing proves who made them" in call("verify", run).stdout
    sign(run, keys.private)
    assert "are signed, by whom was not asked" in call("verify", run).stdout


def test_a_run_whose_files_disagree_is_neither_signed_nor_bundled(run: Path, keys: Any) -> None:
    (run / "model/model.json").write_bytes((released_models()["cifar10-m7"] / "model/model.json").read_bytes())
    for command in (("sign", run, "--key", keys.private), ("bundle", run, "--out", run.parent / "run.zip")):
        with pytest.raises(PipelineError, match=r"is not (signed|bundled): changed: model/model.json, and \d+ more"):
            raise call(*command).exception or AssertionError
    assert not (run / "model.sig").exists()
    assert not (run.parent / "run.zip").exists()


def test_any_file_is_signed_and_verified_beside_it(tmp_path: Path, keys: Any, stranger: Any) -> None:
    model = tmp_path / "net.tflite"
    model.write_bytes(b"model")
    sign(model, keys.private)
    assert call("verify", model, "--key", keys.public).return_value == 0
    assert call("verify", model, "--key", stranger.public).return_value == 1
    assert model_signing("verify", "key", "--signature", f"{model}.sig", "--public_key", keys.public, model) == 0
    model.write_bytes(b"another")
    assert call("verify", model, "--key", keys.public).return_value == 1


def test_an_encrypted_key_takes_its_password_from_the_environment(run: Path, keys: Any) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    encrypted = run.parent / "encrypted.pem"
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    formats = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    encrypted.write_bytes(key.private_bytes(*formats, encryption))
    without = call("sign", run, "--key", encrypted)
    assert "PIPELINE_KEY_PASSWORD holds the password" in str(without.exception)
    wrong = call("sign", run, "--key", encrypted, PIPELINE_KEY_PASSWORD="wrong")
    assert "PIPELINE_KEY_PASSWORD is wrong" in str(wrong.exception)
    assert call("sign", run, "--key", encrypted, PIPELINE_KEY_PASSWORD="open sesame").exception is None
    assert call("verify", run, "--key", keys.public).return_value == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sign", "RUN"), "sign by a key (--key FILE) or by an identity (--sigstore)"),
        (("sign", "RUN", "--key", "a", "--sigstore"), "sign by a key (--key FILE) or by an identity"),
        (("sign", "absent", "--key", "absent"), "there is no file or run absent"),
        (("sign", "RUN", "--key", "absent"), "absent can't be read: No such file or directory"),
        (("sign", "RUN", "--key", "RUN/run.json"), "run.json is no private key of an elliptic curve"),
        (("verify", "RUN", "--key", "absent"), "absent can't be read: No such file or directory"),
        (("verify", "RUN", "--key", "RUN/run.json"), "run.json is no public key of an elliptic curve"),
        (("verify", "RUN", "--require-signature"), "name whose it must be, with --key PUB or --identity ID"),
        (("verify", "RUN", "--key", "a", "--identity", "b"), "name one signer: --key or --identity"),
        (("verify", "RUN", "--issuer", "a"), "--issuer confirms an identity"),
        (("verify", "RUN/run.json"), "is no run and no bundle: name who signed it"),
    ],
)
def test_wrong_use_is_one_line(run: Path, arguments: tuple[str, ...], message: str) -> None:
    result = call(*(argument.replace("RUN", str(run)) for argument in arguments))
    assert isinstance(result.exception, PipelineError)
    assert message in str(result.exception)


def test_a_missing_library_is_named_with_its_extra(run: Path, keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda module: None if module == "OpenSSL" else module)
    for command in (("sign", run, "--key", keys.private), ("verify", run, "--key", keys.public)):
        assert str(call(*command).exception) == "this needs pyOpenSSL: pip install 'flatnas-deploy[trust]'"
