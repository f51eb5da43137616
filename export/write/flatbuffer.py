"""Flatbuffers as TFLite files want them: what is equal is stored once, and weights lie at multiples of 16 bytes."""

from __future__ import annotations

from typing import Any

import numpy as np


def sharing_builder() -> Any:
    """A flatbuffers builder that stores equal vectors once."""
    import flatbuffers

    class Sharing(flatbuffers.Builder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(1 << 20)
            self.shared: dict[object, int] = {}

        def CreateNumpyVector(self, x: Any) -> int:  # noqa: N802
            key = (x.dtype.str, x.tobytes())
            if key not in self.shared:
                self.shared[key] = super().CreateNumpyVector(x)
            return self.shared[key]

    return Sharing()


class SharedTable:
    """A table that is stored once, however many others point to one with the same content."""

    def __init__(self, table: Any) -> None:
        self._table = table
        content = {k: v.tobytes() if isinstance(v, np.ndarray) else v for k, v in vars(table).items()}
        self._key = (type(table).__name__, tuple(sorted(content.items(), key=lambda item: item[0])))

    def Pack(self, builder: Any) -> int:  # noqa: N802
        """Called by the generated code, as the table's own would be."""
        if self._key not in builder.shared:
            builder.shared[self._key] = self._table.Pack(builder)
        offset: int = builder.shared[self._key]
        return offset


def aligned_buffer(schema: Any, content: bytes) -> Any:
    """A buffer whose data start at a multiple of 16 bytes, as the schema asks; the generated code forgets to.

    A Cortex-M0+ faults where an int32 is read from an odd address.
    """

    class Aligned(schema.BufferT):  # type: ignore[misc]
        def Pack(self, builder: Any) -> Any:  # noqa: N802
            builder.StartVector(1, len(content), 16)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
            schema.BufferStart(builder)
            schema.BufferAddData(builder, data)
            return schema.BufferEnd(builder)

    return Aligned()
