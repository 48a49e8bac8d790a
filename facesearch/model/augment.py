"""Change training crops at random, in batches on the device. What is drawn depends on the generator given, on nothing else.

The colour augmentations are the seed project's five (torchvision's own transforms) and a few of their kin; geometry, light
and resolution are drawn for each photo.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from facesearch.model.recipe import TrainConfig

COLOURS: dict[str, v2.Transform] = {
    "grayscale": v2.Grayscale(3),
    "jitter": v2.ColorJitter(brightness=0.5, hue=0.3),
    "blur": v2.GaussianBlur(kernel_size=(5, 9), sigma=(0.1, 5.0)),
    "posterize": v2.RandomPosterize(bits=2),
    "equalize": v2.RandomEqualize(),
    "solarize": v2.RandomSolarize(threshold=128),
    "invert": v2.RandomInvert(),
    "sharpness": v2.RandomAdjustSharpness(sharpness_factor=2),
    "autocontrast": v2.RandomAutocontrast(),
}
GREY = (0.299, 0.587, 0.114)
FILL = 116.0  # about the mean of ImageNet's pixels, which the encoder maps near zero


def colour_versions(config: TrainConfig) -> list[tuple[str, ...]]:
    """The versions of a photo, the plain one first: one a colour augmentation, or one a combination of them.

    With five colours 6 versions, composed 32: "more changed pictures than true ones", as the seed project found.
    """
    if config.colour_mode == "off":
        return [()]
    if not config.colour_compose:
        return [(), *((name,) for name in config.colours)]
    sizes = range(len(config.colours) + 1)
    return [combination for size in sizes for combination in itertools.combinations(config.colours, size)]


class Augmenter:
    """Turns uint8 crops into training pixels, by the settings of one config."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.versions = colour_versions(config)
        self.multiplies = len(self.versions) if config.colour_mode == "multiply" else 1

    def views(self, n: int, generator: Generator) -> Tensor:
        """Draw where n photos are looked at: (n, 2, 3) float32, from places in the result to places in the photo (-1..1)."""
        c = self.config
        angle = _uniform((n,), -1, 1, generator) * math.radians(c.rotate_deg)
        zoom = torch.exp(_uniform((n,), -1, 1, generator) * math.log1p(c.zoom))
        mirror = 1 - 2 * _chosen(n, 0.5 if c.flip else 0.0, generator).float()
        shift = 2 * c.shift * _uniform((n, 2), -1, 1, generator)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        return torch.stack([torch.stack([mirror * cos, -sin, shift[:, 0]], 1), torch.stack([mirror * sin, cos, shift[:, 1]], 1)], 1)

    def __call__(self, crops: Tensor, version: Tensor | None, views: Tensor, size_px: int, generator: Generator) -> Tensor:
        """crops (n, h, w, 3) uint8; version (n,) int64, numbers into versions, or None to draw them;
        views (n, 2, 3) as drawn by views().

        Returns (n, 3, s, s) float32 in 0..255, channels last. generator lives on the CPU, so that every device draws
        alike; torchvision's colour transforms take torch's global one, which the caller seeds.
        """
        c = self.config
        pixels = crops.permute(0, 3, 1, 2)
        if len(self.versions) > 1:
            if version is None:
                version = torch.randint(len(self.versions), (len(crops),), generator=generator)
            pixels = self._coloured(pixels, version)
        x = pixels.float()
        if c.flip or c.shift or c.zoom or c.rotate_deg or c.border or size_px != x.shape[-1]:
            x = _warped(x, views.to(x.device), c.border, size_px, generator)
        if c.light or c.grey:
            x = _lit(x, c, generator)
        if c.low_res:
            x = _blurred(x, c.low_res, generator)
        if c.erase:
            x = _erased(x, c.erase, generator)
        return x.contiguous(memory_format=torch.channels_last)

    def _coloured(self, pixels: Tensor, version: Tensor) -> Tensor:
        """torchvision draws one set of parameters a call, so each photo gets its own call."""
        changed = pixels.clone()
        for i, number in enumerate(version.tolist()):
            photo = pixels[i]
            for name in self.versions[number]:
                photo = COLOURS[name](photo)
            changed[i] = photo
        return changed


def mixed(crops: Tensor, generator: Generator) -> Tensor:
    """Make n new faces of n aligned crops (n, h, w, 3) uint8: each with the next one, blended (mixup, arXiv:1710.09412) or
    set together along a line through the middle (CutMix, arXiv:1905.04899). Nobody looks like that: faces without a name.
    """
    n, h, w, _ = crops.shape
    share = _uniform((n,), 0.3, 0.7, generator, crops).view(n, 1, 1, 1)
    place = torch.stack(torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij"), 2).to(crops.device)
    angle = _uniform((n,), 0, 2 * math.pi, generator, crops)
    normal = torch.stack([angle.cos(), angle.sin()], 1)
    side = (place @ normal.T).permute(2, 0, 1).unsqueeze(3) / 0.1 + 0.5  # an edge a tenth of the crop's half side wide
    cut = _chosen(n, 0.5, generator, crops).view(n, 1, 1, 1)
    return blended(crops, torch.where(cut, side.clamp(0, 1), share))


def blended(crops: Tensor, share: Tensor) -> Tensor:
    """Each of the crops (n, h, w, 3) uint8 by its share, the next one (the first after the last) by the rest."""
    other = crops.roll(-1, 0).float()
    return (other + share * (crops.float() - other)).round_().to(torch.uint8)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator, like: Tensor | None = None) -> Tensor:
    drawn = low + (high - low) * torch.rand(shape, generator=generator)
    return drawn if like is None else drawn.to(like.device)


def _chosen(n: int, share: float, generator: Generator, like: Tensor | None = None) -> Tensor:
    drawn = torch.rand((n,), generator=generator) < share
    return drawn if like is None else drawn.to(like.device)


def _warped(x: Tensor, views: Tensor, border: float, size_px: int, generator: Generator) -> Tensor:
    """Flip, turn, zoom, shift and resize in one bilinear sampling; outside, the border is repeated."""
    n = len(x)
    grid = F.affine_grid(views, [n, 3, size_px, size_px], align_corners=False)
    if border:
        # Sampling no further out than a box repeats the box's rim: how a tight picture's crop looks.
        cut = _uniform((n, 4), 0, 0.4, generator, x) * _chosen(n, border, generator, x)[:, None]
        low, high = (cut[:, None, None, :2] - 1), (1 - cut[:, None, None, 2:])
        grid = torch.minimum(torch.maximum(grid, low), high)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _lit(x: Tensor, c: TrainConfig, generator: Generator) -> Tensor:
    """Random brightness, then contrast about the photo's mean grey, then saturation about each pixel's grey.

    All three are linear in the colours, so a photo gets one 3 x 3 matrix and one offset.
    """
    n = len(x)
    bright, contrast, saturation = _uniform((3, n, 1, 1), 1 - c.light, 1 + c.light, generator, x)
    saturation = saturation.masked_fill(_chosen(n, c.grey, generator, x).view(n, 1, 1), 0.0)
    to_grey = torch.tensor(GREY, device=x.device)
    mean = bright * (x.mean((2, 3)) @ to_grey).view(n, 1, 1)
    mix = saturation * torch.eye(3, device=x.device) + (1 - saturation) * to_grey.expand(3, 3)
    flat = x.contiguous().view(n, 3, -1)
    lit = torch.baddbmm((mean * (1 - contrast)).expand(n, 3, 1), bright * contrast * mix, flat)
    return lit.clamp_(0, 255).view(x.shape)


def _blurred(x: Tensor, share: float, generator: Generator) -> Tensor:
    """Shrink some photos by 1.5 to 4 and enlarge them again."""
    n, size = len(x), x.shape[-1]
    chosen = torch.rand((n,), generator=generator) < share
    factor = 1.5 * (4 / 1.5) ** torch.rand((n,), generator=generator)
    for i in torch.nonzero(chosen)[:, 0].tolist():
        small = max(8, round(size / float(factor[i])))
        shrunk = F.interpolate(x[i : i + 1], (small, small), mode="area")
        x[i : i + 1] = F.interpolate(shrunk, (size, size), mode="bilinear", align_corners=False)
    return x


def _erased(x: Tensor, share: float, generator: Generator) -> Tensor:
    """Random Erasing (Zhong et al. 2017, arXiv:1708.04896): one grey box of 4 to 25 % of the area in some photos."""
    n, size = len(x), x.shape[-1]
    area = _uniform((n,), 0.04, 0.25, generator, x)
    ratio = torch.exp(_uniform((n,), -0.7, 0.7, generator, x))
    h, w = (area * ratio).sqrt().clamp(max=0.9), (area / ratio).sqrt().clamp(max=0.9)
    top, left = _uniform((n,), 0, 1, generator, x) * (1 - h), _uniform((n,), 0, 1, generator, x) * (1 - w)
    place = (torch.arange(size, device=x.device) + 0.5) / size
    rows = (place >= top[:, None]) & (place < (top + h)[:, None])
    columns = (place >= left[:, None]) & (place < (left + w)[:, None])
    box = rows[:, :, None] & columns[:, None, :] & _chosen(n, share, generator, x)[:, None, None]
    return x.masked_fill(box[:, None], FILL)
