"""How a run's files came to be: an in-toto statement with SLSA's provenance.

The form is https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md with the predicate of
https://slsa.dev/spec/v1.0/provenance. It has no clock and no name of an invocation, so that one run has one statement.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.trust.finished import FinishedRun
from pipeline.trust.materials import Material, materials
from pipeline.values import plain

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:flatnas-deploy:run:1"  # `pipeline run`, whose parameters are its configuration
_BY_PRODUCTS = ("search/", "audit/")


def provenance(run: FinishedRun) -> bytes:
    """The statement as JSON, about every file of a run's manifest."""
    files = run.files
    value = {
        "_type": STATEMENT,
        "subject": [_file(path, digest) for path, digest in files.items() if not path.startswith(_BY_PRODUCTS)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": plain(run.config),
                "internalParameters": {"adopted": [plain(adoption) for adoption in run.record.adopted]},
                "resolvedDependencies": [_dependency(material) for material in materials(run)],
            },
            "runDetails": {
                "builder": {"id": "urn:flatnas-deploy", "version": dict(sorted(run.made_by().items()))},
                "byproducts": [_file(path, digest) for path, digest in files.items() if path.startswith(_BY_PRODUCTS)],
            },
        },
    }
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _file(path: str, digest: str) -> dict[str, Any]:
    return {"name": path, "digest": {"sha256": digest}}


def _dependency(material: Material) -> Mapping[str, Any]:
    """A resource descriptor: a digest where there is one, and what else is known as annotations."""
    known = {
        "version": material.version,
        "licence": material.licence or None,
        "record-sha256": material.record_sha256,
    }
    return {
        "name": material.name,
        **({"uri": material.purl} if material.purl else {}),
        **({"digest": {"sha256": material.sha256}} if material.sha256 else {}),
        "annotations": {"kind": material.kind} | {key: value for key, value in known.items() if value},
    }
