"""What the tests of trust share: a run to manipulate, and throw-away keys."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.models import released_models


@dataclass(frozen=True, slots=True)
class Keys:
    """A pair of files."""

    private: Path
    public: Path


def make_keys(directory: Path, name: str) -> Keys:
    """A new key on P-256."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    keys = Keys(directory / f"{name}.pem", directory / f"{name}.pub")
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    keys.private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    keys.public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return keys


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a released model's directory."""
    directory = tmp_path / "run"
    shutil.copytree(released_models()["cifar10-resnet8-budget"], directory)
    return directory


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    pytest.importorskip("model_signing")
    return make_keys(tmp_path, "maker")


@pytest.fixture
def stranger(tmp_path: Path) -> Keys:
    pytest.importorskip("model_signing")
    return make_keys(tmp_path, "stranger")
