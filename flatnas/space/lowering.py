"""A subnet as the operators a device will run: what the search's cost model sees before anything is exported."""

from __future__ import annotations

from flatnas.space.arch import Activation, Arch, Block, SearchSpace, Stage, StageSpace
from hardware_profiles.cost.ops import OpSpec, TensorSpec, same_padding


def lower(space: SearchSpace, arch: Arch) -> tuple[OpSpec, ...]:
    """The int8 operators of the exported subnet, in execution order, batch norm and gates' constants folded."""
    lowering = _Lowering(space)
    x = TensorSpec("image", (1, arch.resolution, arch.resolution, 3))
    x = lowering.conv("stem", x, arch.stem, 3, space.stem_stride, activation=space.activation)
    for s, (stage_space, stage) in enumerate(zip(space.stages, arch.stages, strict=True)):
        for b, block in enumerate(stage.blocks):
            x = lowering.inverted_residual(f"stage{s}.{b}", x, stage_space, stage, block, first=b == 0)
    x = lowering.conv("head", x, arch.head, activation=space.activation)
    x = lowering.global_pool("pool", x)
    if space.mix_channels:
        x = lowering.conv("mix", x, space.mix_channels, activation="hard_swish")
    lowering.fully_connected("logits", x, space.num_classes)
    return tuple(lowering.ops)


class _Lowering:
    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.ops: list[OpSpec] = []

    def _append(self, op: OpSpec) -> TensorSpec:
        self.ops.append(op)
        return op.output

    def conv(
        self,
        name: str,
        x: TensorSpec,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        activation: Activation | None = None,
    ) -> TensorSpec:
        """A convolution, the PAD it needs where its padding isn't TF-SAME, and the activation that it can't fuse.

        It has a bias in any case: int8 files write zeros where the network has none.
        """
        _, h, w, c = x.shape
        out = (1, -(-h // stride), -(-w // stride), channels)
        if not self.space.same_padding and same_padding(h, kernel, stride) != (kernel // 2, kernel // 2):
            p = kernel // 2
            x = self._append(OpSpec("pad", "PAD", (x,), TensorSpec(f"{name}.pad", (1, h + 2 * p, w + 2 * p, c))))
        y = self._append(
            OpSpec(
                "depthwise_conv" if depthwise else "conv",
                "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
                (x,),
                TensorSpec(name, out),
                kernel_hw=(kernel, kernel),
                stride_hw=(stride, stride),
                weights=kernel * kernel * channels * (1 if depthwise else c),
                biases=channels,
                channel_scales=channels,
            )
        )
        if activation == "hard_swish":
            y = self._append(OpSpec("activation", "HARD_SWISH", (y,), TensorSpec(f"{name}.act", out)))
        return y

    def inverted_residual(
        self, name: str, x: TensorSpec, stage_space: StageSpace, stage: Stage, block: Block, *, first: bool
    ) -> TensorSpec:
        stride, act = stage_space.stride if first else 1, stage_space.activation
        channels_in, y = x.shape[3], x
        expanded = channels_in * block.expand
        if block.expand > 1:
            y = self.conv(f"{name}.expand", y, expanded, activation=act)
        y = self.conv(f"{name}.depthwise", y, expanded, block.kernel, stride, depthwise=True, activation=act)
        if stage.squeeze_excite:
            gate = self.global_pool(f"{name}.squeeze", y)
            gate = self.conv(f"{name}.reduce", gate, self.space.squeeze_channels(channels_in, expanded))
            gate = self.conv(f"{name}.gate", gate, expanded)
            y = self._append(OpSpec("mul", "MUL", (y, gate), TensorSpec(f"{name}.excite", y.shape)))
        y = self.conv(f"{name}.project", y, stage.channels)
        if self.space.adds_input(channels_in, stage.channels, stride, entry=first):
            y = self._append(OpSpec("add", "ADD", (x, y), TensorSpec(f"{name}.add", y.shape)))
        return y

    def global_pool(self, name: str, x: TensorSpec) -> TensorSpec:
        _, h, w, c = x.shape
        return self._append(
            OpSpec("avg_pool", "AVERAGE_POOL_2D", (x,), TensorSpec(name, (1, 1, 1, c)), kernel_hw=(h, w))
        )

    def fully_connected(self, name: str, x: TensorSpec, n: int) -> TensorSpec:
        return self._append(
            OpSpec(
                "fully_connected",
                "FULLY_CONNECTED",
                (x,),
                TensorSpec(name, (1, n)),
                weights=n * x.shape[3],
                biases=n,
                channel_scales=n,
            )
        )
