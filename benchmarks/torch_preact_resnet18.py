"""PreAct-ResNet-18 in PyTorch, the same weights as ours, for `benchmarks.speed`.

He et al. 2016 (arXiv 1603.05027), as described in `keras_reinit.models`.
"""

from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions; only what a re-initialization needs, no forward pass."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        if (channels, stride) != (filters, 1):
            self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False)


def preact_resnet18():
    """A new module; convolutions drawn with variance 2 over fan-out, as ours."""
    parts, channels = [nn.Conv2d(3, 64, 3, 1, 1, bias=False)], 64
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for step in (stride, 1):
            parts.append(Block(channels, filters, step))
            channels = filters
    module = nn.Sequential(*parts, nn.BatchNorm2d(512), nn.Linear(512, 10))
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return module
