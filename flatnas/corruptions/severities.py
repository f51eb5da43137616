"""What a severity means at which size: the parameters of CIFAR-10-C, Tiny-ImageNet-C and ImageNet-C.

The three benchmarks of Hendrycks & Dietterich (ICLR 2019, arXiv 1903.12261) have a table of parameters each, for
pictures of 32, 64 and 224 pixels: blur, displacement and JPEG blocks are measured in pixels, so that one table is far
too mild for larger pictures. Here pictures of up to 48 pixels get CIFAR-10-C's parameters, those of up to 119 pixels
Tiny-ImageNet-C's, and larger ones ImageNet-C's: 119.7 is the geometric mean of 64 and 224. What was measured of this
rule, and of others: docs/audit.md.

Parameters as in `make_cifar_c.py`, `make_tinyimagenet_c.py` and `make_imagenet_c.py` of
https://github.com/hendrycks/robustness (ImageNet-C/create_c), in the modules of the corruptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

T = TypeVar("T")
TableName = Literal["cifar10-c", "tiny-imagenet-c", "imagenet-c"]
TABLES: tuple[TableName, ...] = get_args(TableName)
_LARGEST_SIDES: tuple[tuple[int, TableName], ...] = ((48, "cifar10-c"), (119, "tiny-imagenet-c"))


def severity_table(side: int) -> TableName:
    """The table for pictures whose shorter side has so many pixels."""
    return next((name for largest, name in _LARGEST_SIDES if side <= largest), "imagenet-c")


@dataclass(frozen=True, slots=True)
class BySeverity(Generic[T]):
    """A corruption's parameters: five of each benchmark, the mildest first."""

    cifar10_c: Sequence[T]
    tiny_imagenet_c: Sequence[T]
    imagenet_c: Sequence[T]

    def __post_init__(self) -> None:
        if any(len(five) != 5 for five in (self.cifar10_c, self.tiny_imagenet_c, self.imagenet_c)):
            raise ValueError("a table has five severities")


@dataclass(frozen=True, slots=True)
class Level:
    """How strong a corruption is: a severity of 1 to 5 in one of the tables."""

    severity: int
    table: TableName

    def of(self, parameters: BySeverity[T]) -> T:
        """The parameter at this level."""
        tables = (parameters.cifar10_c, parameters.tiny_imagenet_c, parameters.imagenet_c)
        return tables[TABLES.index(self.table)][self.severity - 1]
