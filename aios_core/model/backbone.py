"""ResNet (He et al. 2016) with the stride in the 3x3 convolutions and torchvision's names.

Blocks are bottlenecks (ResNet-50, published) or basic (compact models); batch norms hold fixed statistics or are
trained. Where a norm's statistics do not change, it is folded into the convolution before it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios_core.config import BackboneConfig
from aios_core.model.fused import rectified_conv

EPS = 1e-5


class FrozenBatchNorm(nn.Module):
    """The four numbers per channel of a batch norm that is not trained."""

    def __init__(self, channels: int):
        super().__init__()
        self.eps = EPS
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))


def conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    """norm(conv(x)); one convolution where the norm's statistics are fixed."""
    if isinstance(norm, nn.Identity):  # folded
        return conv(x)
    if isinstance(norm, nn.BatchNorm2d) and norm.training:
        return norm(conv(x))
    return F.conv2d(x, *folded(conv, norm), conv.stride, conv.padding)


def rectified_conv_norm(conv: nn.Conv2d, norm: nn.Module, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    """relu(norm(conv(x)) + shortcut)."""
    if isinstance(norm, nn.Identity):  # folded
        return rectified_conv(conv, x, shortcut)
    y = conv_norm(conv, norm, x)
    return F.relu(y if shortcut is None else y.add_(shortcut), inplace=True)


def folded(conv: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does what a convolution and a norm with fixed statistics do."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


@torch.no_grad()
def fold_norms(module: nn.Module) -> None:
    """Put every norm into the convolution before it, once and for all: for networks that are not trained further.

    Those that are there already stay.
    """
    for name, conv in list(module.named_children()):
        if isinstance(conv, Block | nn.Sequential | ResNet):
            fold_norms(conv)
        norm_name = {"0": "1"}.get(name, name.replace("conv", "bn"))
        norm = getattr(module, norm_name, None)
        if isinstance(conv, nn.Conv2d) and norm is not None and not isinstance(norm, nn.Identity):
            weight, bias = folded(conv, norm)
            conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
            setattr(module, norm_name, nn.Identity())


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _norm(channels: int, frozen: bool) -> nn.Module:
    return FrozenBatchNorm(channels) if frozen else nn.BatchNorm2d(channels, eps=EPS)


class Block(nn.Module):
    """A residual block: convolutions conv1.. with norms bn1.., added to the (downsampled) input."""

    def __init__(self, sizes: tuple[tuple[int, int, int, int], ...], frozen: bool):
        """Args: sizes: (inputs, outputs, kernel size, stride) of each convolution."""
        super().__init__()
        self.convolutions = len(sizes)
        for i, (inputs, outputs, size, stride) in enumerate(sizes, 1):
            self.add_module(f"conv{i}", _conv(inputs, outputs, size, stride))
            self.add_module(f"bn{i}", _norm(outputs, frozen))
        inputs, outputs = sizes[0][0], sizes[-1][1]
        stride = max(s for *_, s in sizes)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(_conv(inputs, outputs, 1, stride), _norm(outputs, frozen))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else conv_norm(self.downsample[0], self.downsample[1], x)
        for i in range(1, self.convolutions + 1):
            added = shortcut if i == self.convolutions else None
            x = rectified_conv_norm(getattr(self, f"conv{i}"), getattr(self, f"bn{i}"), x, added)
        return x


def _block_sizes(kind: str, inputs: int, width: int, stride: int) -> tuple[tuple[int, int, int, int], ...]:
    if kind == "basic":
        return (inputs, width, 3, stride), (width, width, 3, 1)
    assert kind == "bottleneck", f"backbone.block must be 'bottleneck' or 'basic', not {kind!r}"
    return (inputs, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)


class ResNet(nn.Module):
    """Feature maps of strides 4, 8, 16, 32 (as many as config.depths has entries)."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        frozen = config.frozen_norm
        self.conv1 = _conv(3, config.stem_width, 7, stride=2)
        self.bn1 = _norm(config.stem_width, frozen)
        channels, outputs = config.stem_width, []
        for index, (depth, width) in enumerate(zip(config.depths, config.widths, strict=True)):
            blocks = []
            for i in range(depth):
                sizes = _block_sizes(config.block, channels, width, stride=2 if index and i == 0 else 1)
                blocks.append(Block(sizes, frozen))
                channels = sizes[-1][1]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
            outputs.append(channels)
        self.strides = tuple(4 * 2**i for i in range(len(outputs)))
        self.channels = dict(zip(self.strides, outputs, strict=True))
        """Channels of the map of each stride."""
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Feature maps (B, C, H / stride, W / stride), rounded up, by stride."""
        x = images.contiguous(memory_format=torch.channels_last)
        x = rectified_conv_norm(self.conv1, self.bn1, x)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        maps = {}
        for index, stride in enumerate(self.strides, 1):
            x = getattr(self, f"layer{index}")(x)
            maps[stride] = x
        return maps
