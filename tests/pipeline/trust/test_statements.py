"""SBOM and provenance: valid by other people's schemas, and about the run's own facts."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PathDistribution, version
from pathlib import Path
from typing import Any

import pytest

from pipeline.files import sha256_of
from pipeline.models import released_models
from pipeline.runs.manifest import write_manifest
from pipeline.trust import environment as environments
from pipeline.trust.environment import environment
from pipeline.trust.finished import FinishedRun, read_finished
from pipeline.trust.listing import listing
from pipeline.trust.materials import materials
from pipeline.trust.provenance import provenance
from pipeline.trust.sbom import sbom
from pipeline.values import write_value

pytest.importorskip("cyclonedx")
DATA = "d47d648dcc594ca9aa3c4d3417b797508d93a4a8378d11cae5753c536127cedf"  # of CIFAR-10, as the supernet's card has it


def read(directory: Path) -> FinishedRun:
    return read_finished(directory, listing(directory).files)


@pytest.fixture
def with_environment(run: Path) -> FinishedRun:
    """A run whose report stage recorded what was installed."""
    write_value(run / "environment.json", environment())
    write_manifest(run)
    return read(run)


def components(content: bytes) -> dict[str, Any]:
    return {component["name"]: component for component in json.loads(content)["components"]}


@pytest.mark.parametrize("name", released_models())
def test_the_bill_of_every_released_model_is_valid_by_cyclonedxs_schema(name: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    content = sbom(read(released_models()[name])).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None


def test_the_bill_of_a_new_run_is_valid_and_names_every_installed_package(with_environment: FinishedRun) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    content = sbom(with_environment)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content.decode()) is None
    listed = subprocess.run([sys.executable, "-m", "pip", "list", "--format=json"], capture_output=True, check=True)
    installed = {environments.canonical(row["name"]): row["version"] for row in json.loads(listed.stdout)}
    packages = {name: c["version"] for name, c in components(content).items() if c["type"] == "library"}
    assert packages == installed
    numpy = components(content)["numpy"]
    assert numpy["purl"] == f"pkg:pypi/numpy@{version('numpy')}"
    assert [p["name"] for p in numpy["properties"]] == ["flatnas-deploy:record-sha256"]


def test_the_bill_tells_of_model_data_weights_and_tools() -> None:
    directory = released_models()["cifar10-resnet8-budget"]
    content = sbom(read(directory))
    found, model = components(content), json.loads(content)["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": sha256_of(directory / "model/model.int8.tflite")}]
    assert found["data set cifar10"]["hashes"][0]["content"] == DATA
    assert found["data set cifar10"]["licenses"] == [{"license": {"name": "not stated"}}]
    shipped = Path(str(directory)).parents[1] / "cifar10.json"
    assert found["supernet"]["hashes"][0]["content"] == json.loads(shipped.read_text())["sha256"]
    assert found["supernet"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert (found["gcc"]["version"], found["QEMU"]["version"]) == ("12.2.1", "7.2.22 mps2-an500")


def test_neither_statement_has_a_clock_a_number_or_a_path(run: Path) -> None:
    first = (sbom(read(run)), provenance(read(run)))
    moved = run.rename(run.parent / "elsewhere")
    assert (sbom(read(moved)), provenance(read(moved))) == first
    for content in first:
        assert str(run.parent).encode() not in content
        assert b"serialNumber" not in content
        assert b"timestamp" not in content


def test_the_provenance_is_slsas_by_in_totos_own_types(with_environment: FinishedRun) -> None:
    pytest.importorskip("in_toto_attestation")
    from google.protobuf import json_format
    from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
    from in_toto_attestation.v1.statement import Statement
    from in_toto_attestation.v1.statement_pb2 import Statement as Message

    value = json.loads(provenance(with_environment))
    message = json_format.ParseDict(value, Message())
    Statement.copy_from_pb(message).validate()
    predicate = json_format.ParseDict(value["predicate"], Provenance())
    assert {s.name: s.digest["sha256"] for s in message.subject} == {
        path: digest for path, digest in with_environment.files.items() if not path.startswith(("search/", "audit/"))
    }
    by_name = {d.name: d for d in predicate.build_definition.resolved_dependencies}
    assert by_name["data set cifar10"].digest["sha256"] == DATA
    assert by_name["numpy"].uri == f"pkg:pypi/numpy@{version('numpy')}"
    assert predicate.build_definition.external_parameters["seed"] == 1


def test_a_folder_of_ones_own_is_no_data_set_whose_licence_is_known(run: Path) -> None:
    record = (run / "run.json").read_text()
    (run / "run.json").write_text(record.replace('"cifar10"', '"pictures"'))
    report = (run / "report.json").read_text()
    (run / "report.json").write_text(report.replace('"name": "cifar10"', '"name": "pictures"'))
    assert materials(read(run))[0].name == "data set pictures"
    assert materials(read(run))[0].licence == "not stated"


def installed(directory: Path, place: str, interpreter: str) -> PathDistribution:
    """A package as pip installs it: one module, one script with the interpreter's path, pip's own notes."""
    info = directory / place / "tiny-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: tiny\nVersion: 1.0\nLicense-Expression: MIT\n")
    script = "sha256=" + interpreter
    (info / "RECORD").write_text(
        f"tiny.py,sha256=AAAA,3\n../../../bin/tiny,{script},9\ntiny-1.0.dist-info/INSTALLER,sha256=BBBB,4\n"
        f"tiny-1.0.dist-info/METADATA,sha256=CCCC,5\ntiny-1.0.dist-info/RECORD,,\n__pycache__/tiny.cpython-311.pyc,,\n"
    )
    return PathDistribution(info)


def test_a_wheel_has_one_hash_wherever_it_is_installed(tmp_path: Path) -> None:
    here, there = (installed(tmp_path, place, place) for place in ("here", "there"))
    assert environments.record_sha256_of(here) == environments.record_sha256_of(there)
    # printf 'tiny-1.0.dist-info/METADATA sha256=CCCC\ntiny.py sha256=AAAA' | sha256sum
    assert environments.record_sha256_of(here) == "674d386497e6c08e5b13505fb88c0e49a4273ac56fbccdc60703376ce83bbb3d"
    assert environments.licence_of(here) == "MIT"
