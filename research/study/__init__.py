"""Studies: what of a subnet, known before it is trained and quantized, tells how robust its int8 file will be."""

from __future__ import annotations
