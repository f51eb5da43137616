"""Whether the packages of the extra `trust` are installed."""

from __future__ import annotations

from importlib.util import find_spec

from pipeline.errors import PipelineError

_MODULES = {"model_signing": "model-signing", "OpenSSL": "pyOpenSSL", "cyclonedx": "cyclonedx-python-lib"}


def require_trust_packages() -> None:
    """Raises:
    PipelineError: signatures and SBOMs need packages that are not installed.
    """
    if missing := [package for module, package in _MODULES.items() if find_spec(module) is None]:
        raise PipelineError(f"this needs {', '.join(missing)}: pip install 'flatnas-deploy[trust]'")
