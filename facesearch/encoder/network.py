"""The network: a torchvision backbone whose last layer gives an embedding. It knows no files but
ImageNet's."""

from __future__ import annotations

import math

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from facesearch.encoder.config import IMAGENET_MEAN, IMAGENET_STD, LAST_LAYER, EncoderConfig
from facesearch.errors import BadConfig, NoPretrained, reason_of
from facesearch.faces.crop import CROP_PX


class Encoder(nn.Module):
    """pixels (n, 3, s, s) float in 0..255, RGB -> embedding (n, d) float32, not normalised.

    The colour normalisation is inside, so that an exported network takes plain pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        """Raises BadConfig for a backbone that is not offered or a layer name that it does not have."""
        super().__init__()
        self.config = config
        if config.backbone not in LAST_LAYER:
            raise BadConfig(
                "backbone", config.backbone, f"one of {', '.join(LAST_LAYER)} (torchvision has no resnet38)"
            )
        self.backbone: nn.Module = torchvision.models.get_model(config.backbone, weights=None)
        _replace_last_layer(self.backbone, config)
        if config.pooling == "weighted":
            _weigh_cells(self.backbone, config)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.backbone((pixels - self.mean) / self.std)
        return embedding.float()

    def zero_residuals(self) -> None:
        """Set the last batch-norm weight of every residual block to zero. Nothing happens to a network
        without them.
        """
        for module in self.backbone.modules():
            if isinstance(module, BasicBlock | Bottleneck):
                last = module.bn3 if isinstance(module, Bottleneck) else module.bn2
                nn.init.zeros_(last.weight)

    def map_of(self, stage: str) -> tuple[int, int]:
        """How many channels the backbone's part of this name gives out, and how many cells a side for a whole
        crop.

        Raises BadConfig when it is no map of features.
        """
        found: list[Tensor] = []
        try:
            hook = self.backbone.get_submodule(stage).register_forward_hook(
                lambda _, __, output: found.append(output)
            )
        except AttributeError as error:
            raise BadConfig(
                "distill_stages", stage, f"a part of {self.config.backbone}, such as 'layer3'"
            ) from error
        was_training = self.training
        with torch.inference_mode():
            size = CROP_PX if self.config.pooling == "average" else self.config.size_px
            self.eval()(torch.zeros(1, 3, size, size))
        hook.remove()
        self.train(was_training)
        if not found or found[0].ndim != 4:
            raise BadConfig("distill_stages", stage, "a part of the backbone that gives a map of features")
        return found[0].shape[1], found[0].shape[2]

    def load_imagenet(self) -> None:
        """Start from torchvision's ImageNet weights, all but the last layer. Raises NoPretrained without a
        network.
        """
        weights = torchvision.models.get_model_weights(self.config.backbone).DEFAULT
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
            reason = reason_of(error) if isinstance(error, OSError) else str(error)
            raise NoPretrained(self.config.backbone, weights.url, reason) from error
        self.load_backbone(state)

    def load_backbone(self, state: dict[str, Tensor]) -> None:
        """Take over a torchvision state dict, or that of an encoder of ours; the last layer and the weights
        of the last map's cells only when they are of the same make.

        Raises BadConfig when the rest does not fit.
        """
        own, kept = self.backbone.state_dict(), state
        for part in (self.config.encoder_last_layer_name + ".", "avgpool."):
            ours = {name: value.shape for name, value in own.items() if name.startswith(part)}
            theirs = {name: value.shape for name, value in kept.items() if name.startswith(part)}
            kept = {
                name: value for name, value in kept.items() if ours == theirs or not name.startswith(part)
            }
        wrong = [name for name, value in kept.items() if name not in own or own[name].shape != value.shape]
        if wrong or not kept:
            raise BadConfig("pretrained", wrong[:3], f"weights of {self.config.backbone}")
        self.backbone.load_state_dict(kept, strict=False)


class UnitVectors(nn.Module):
    """The whole way: crops (n, 112, 112, 3) uint8 -> (n, d) float32 rows of length 1, over both mirror images
    where the encoder says so.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, crops: Tensor) -> Tensor:
        return self.measured(crops)[0]

    def measured(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and how long the vectors were (n,): of both mirror images the mean."""
        config = self.encoder.config
        pixels = as_pixels(crops, config.size_px)
        views = [pixels, pixels.flip(3)] if config.flip_average else [pixels]
        raw = [self.encoder(view) for view in views]
        lengths = torch.stack([vectors.norm(dim=1) for vectors in raw]).mean(0)
        return F.normalize(torch.stack([F.normalize(vectors) for vectors in raw]).sum(0)), lengths


def as_pixels(crops: Tensor, size_px: int) -> Tensor:
    """crops (n, h, w, 3) uint8 -> (n, 3, size_px, size_px) float32 in 0..255, channels last, resized with
    antialiasing.
    """
    pixels = crops.permute(0, 3, 1, 2).float()
    if size_px != pixels.shape[-1]:
        size = (size_px, size_px)
        pixels = F.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    return pixels.contiguous(memory_format=torch.channels_last)


def _weigh_cells(backbone: nn.Module, config: EncoderConfig) -> None:
    """Replace a resnet's average over the last map by one depthwise convolution over all of it, which begins
    as that average.
    """
    if not config.backbone.startswith("resnet"):
        raise BadConfig("pooling", config.pooling, "average for a backbone that is no resnet")
    cells = math.ceil(config.size_px / 32)
    channels = 512 if config.backbone in ("resnet18", "resnet34") else 2048
    layer = nn.Conv2d(channels, channels, cells, groups=channels, bias=False)
    nn.init.constant_(layer.weight, 1 / cells**2)
    backbone.avgpool = layer


def _replace_last_layer(backbone: nn.Module, config: EncoderConfig) -> None:
    """Put ONE linear layer (or several) to the embedding instead of the layer of this name."""
    path, _, leaf = config.encoder_last_layer_name.rpartition(".")
    try:
        parent = backbone.get_submodule(path)
        old = parent.get_submodule(leaf)
    except AttributeError as error:
        raise BadConfig(
            "encoder_last_layer_name",
            config.encoder_last_layer_name,
            f"a layer of {config.backbone}, such as {LAST_LAYER[config.backbone]!r}",
        ) from error
    if not isinstance(old, nn.Linear):
        raise BadConfig(
            "encoder_last_layer_name", config.encoder_last_layer_name, "the name of a linear layer"
        )
    layers: list[nn.Module] = [nn.Dropout(config.dropout)] if config.dropout else []
    width = old.in_features
    for hidden in config.head:
        layers += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        width = hidden
    layers.append(nn.Linear(width, config.embedding_size))
    if config.embedding_batchnorm:
        layers.append(nn.BatchNorm1d(config.embedding_size, affine=False))
    setattr(parent, leaf, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
