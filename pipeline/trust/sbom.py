"""What is in a model, for programs that look for vulnerabilities and licences: a CycloneDX bill of materials.

CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), by its own library. Without serial number and clock, so that one
run has one bill.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.runs.layout import INT8_TFLITE
from pipeline.trust.finished import FinishedRun
from pipeline.trust.materials import Kind, Material, data_licence, materials
from pipeline.trust.packages import require_trust_packages

if TYPE_CHECKING:
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import License

_PREFIX = "flatnas-deploy:"


def sbom(run: FinishedRun) -> bytes:
    """The bill as JSON.

    Raises:
        PipelineError: the library is missing.
    """
    require_trust_packages()
    from cyclonedx.model.bom import Bom
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    bom, model = Bom(), _model(run)
    bom.metadata.component = model
    parts = [_component(material) for material in materials(run)]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(model, parts)
    value = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    del value["serialNumber"], value["metadata"]["timestamp"]
    return (json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _model(run: FinishedRun) -> Component:
    """What ships, with its files."""
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    digest = run.files[INT8_TFLITE]
    facts = {
        "target": run.report.target,
        "seed": str(run.report.seed),
        "weights-trained-on": f"{run.report.dataset.name}, licence of the data: {data_licence(run)}",
    }
    files = [
        Component(name=path, type=ComponentType.FILE, bom_ref=f"file:{path}", hashes=[_sha256(sha256)])
        for path, sha256 in run.files.items()
    ]
    return Component(
        name=f"{run.report.dataset.name} classifier for {run.report.target}",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=digest[:12],
        bom_ref="model",
        hashes=[_sha256(digest)],
        components=files,
        properties=[Property(name=_PREFIX + key, value=value) for key, value in facts.items()],
    )


def _component(material: Material) -> Component:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    properties = {"record-sha256": material.record_sha256} if material.record_sha256 else {}
    return Component(
        name=material.name,
        type=_type_of(material.kind),
        version=material.version,
        bom_ref=material.purl or f"{material.kind}:{material.name}",
        purl=PackageURL.from_string(material.purl) if material.purl else None,
        hashes=[_sha256(material.sha256)] if material.sha256 else [],
        licenses=list(_licences(material.licence)),
        properties=[Property(name=_PREFIX + key, value=value) for key, value in properties.items()],
    )


def _type_of(kind: Kind) -> ComponentType:
    from cyclonedx.model.component import ComponentType

    types = {
        "data": ComponentType.DATA,
        "weights": ComponentType.MACHINE_LEARNING_MODEL,
        "package": ComponentType.LIBRARY,
        "interpreter": ComponentType.PLATFORM,
        "tool": ComponentType.APPLICATION,
    }
    return types[kind]


def _licences(stated: str) -> Iterable[License]:
    """An SPDX identifier or expression as such, anything else as a name."""
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(stated)] if stated else []


def _sha256(digest: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
