"""Depthwise-separable convolutions in place of full ones (MobileNets, Howard et al., arXiv:1704.04861)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def candidates(model: nn.Module) -> list[str]:
    """Return the names of the convolutions that a depthwise and a pointwise one can replace."""
    return [name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d) and _is_full(layer)]


def separate(model: nn.Module, names: Sequence[str]) -> None:
    """Replace each named convolution by the nearest depthwise and pointwise one."""
    for name in names:
        layer: nn.Conv2d = model.get_submodule(name)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, _separated(layer))


def _is_full(layer: nn.Conv2d) -> bool:
    return bool(layer.groups == 1 and layer.in_channels > 1 and layer.kernel_size != (1, 1))


def _separated(layer: nn.Conv2d) -> nn.Sequential:
    depthwise = nn.Conv2d(
        layer.in_channels,
        layer.in_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        groups=layer.in_channels,
        bias=False,
        padding_mode=layer.padding_mode,
    )
    pointwise = nn.Conv2d(layer.in_channels, layer.out_channels, 1, bias=layer.bias is not None)
    with torch.no_grad():
        spatial, mixing = _nearest(layer.weight)
        depthwise.weight.copy_(spatial)
        pointwise.weight.copy_(mixing)
        if layer.bias is not None and pointwise.bias is not None:
            pointwise.bias.copy_(layer.bias)
    return nn.Sequential(depthwise, pointwise)


def _nearest(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights [in, 1, h, w] and [out, in, 1, 1] whose product is nearest to [out, in, h, w] in L2."""
    outputs, inputs, height, width = weight.shape
    left, strength, right = torch.linalg.svd(weight.transpose(0, 1).reshape(inputs, outputs, -1), full_matrices=False)
    root = strength[:, :1].sqrt()
    spatial = (right[:, 0] * root).reshape(inputs, 1, height, width)
    return spatial, (left[:, :, 0] * root).T.reshape(outputs, inputs, 1, 1)
