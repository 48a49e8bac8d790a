"""Change training crops at random, in batches on the device. What is drawn depends on the generator given, on
nothing else.

The colour augmentations are the seed project's five (torchvision's own transforms) and a few of their kin;
geometry, light and resolution are drawn for each photo. But for those five no photo is touched on its own: a
batch is a fixed number of kernels.
"""

from __future__ import annotations

import functools
import itertools
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision.transforms import v2

from facesearch.training.recipe import TrainConfig

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
MOST_DRAWS = 32
"""Random numbers that a photo takes at most, all augmentations and mixtures together."""
SMALLEST = 8
"""Pixels a side to which low_res shrinks at most."""
FILL = 116.0  # about the mean of ImageNet's pixels, which the encoder maps near zero


def colour_versions(config: TrainConfig) -> list[tuple[str, ...]]:
    """The versions of a photo, the plain one first: one a colour augmentation, or one a combination of them.

    With five colours 6 versions, composed 32: "more changed pictures than true ones", as the seed project
    found.
    """
    if config.colour_mode == "off":
        return [()]
    if not config.colour_compose:
        return [(), *((name,) for name in config.colours)]
    sizes = range(len(config.colours) + 1)
    return [combination for size in sizes for combination in itertools.combinations(config.colours, size)]


class Draws:
    """The uniform random numbers of one batch: drawn on the CPU, so that every device has the same, and sent
    over in one piece.
    """

    def __init__(self, generator: Generator, photos: int, device: torch.device) -> None:
        block = torch.rand((MOST_DRAWS * photos,), generator=generator)
        self._block = block.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else block
        self._used = 0

    def uniform(self, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
        """The next numbers, float32 of this shape, from low to high."""
        count = math.prod(shape)
        drawn = self._block[self._used : self._used + count].view(shape)  # too few left: view says so
        self._used += count
        return low + (high - low) * drawn

    def chosen(self, n: int, share: float) -> Tensor:
        """(n,) bool: each True with the chance share."""
        return self.uniform((n,)) < share


class Augmenter:
    """Turns uint8 crops into training pixels, by the settings of one config."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.versions = colour_versions(config)
        self.multiplies = len(self.versions) if config.colour_mode == "multiply" else 1

    def views(self, n: int, draws: Draws) -> Tensor:
        """Draw where n photos are looked at: (n, 2, 3) float32, from places in the result to places in the
        photo (-1..1).
        """
        c = self.config
        angle = draws.uniform((n,), -1, 1) * math.radians(c.rotate_deg)
        zoom = torch.exp(draws.uniform((n,), -1, 1) * math.log1p(c.zoom))
        mirror = 1 - 2 * draws.chosen(n, 0.5 if c.flip else 0.0).float()
        shift = 2 * c.shift * draws.uniform((n, 2), -1, 1)
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        return torch.stack(
            [
                torch.stack([mirror * cos, -sin, shift[:, 0]], 1),
                torch.stack([mirror * sin, cos, shift[:, 1]], 1),
            ],
            1,
        )

    def __call__(
        self, crops: Tensor, version: Tensor | None, views: Tensor, size_px: int, draws: Draws
    ) -> Tensor:
        """crops (n, h, w, 3) uint8; version (n,) int64, numbers into versions, or None to draw them;
        views (n, 2, 3) as drawn by views(); all on one device.

        Returns (n, 3, s, s) float32 in 0..255, channels last. torchvision's colour transforms draw from
        torch's global generator, which the caller seeds.
        """
        c = self.config
        pixels = crops.permute(0, 3, 1, 2)
        if len(self.versions) > 1:
            if version is None:
                version = (draws.uniform((len(crops),)) * len(self.versions)).long()
            pixels = self._coloured(pixels, version)
        x = pixels.float()
        if c.flip or c.shift or c.zoom or c.rotate_deg or c.border or size_px != x.shape[-1]:
            x = _warped(x, views, c.border, size_px, draws)
        if c.light or c.grey:
            x = _lit(x, c, draws)
        if c.low_res:
            x = _blurred(x, c.low_res, draws)
        if c.erase:
            x = _erased(x, c.erase, draws)
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


def mixed(crops: Tensor, draws: Draws) -> Tensor:
    """Make n new faces of n aligned crops (n, h, w, 3) uint8: each with the next one, blended (mixup,
    arXiv:1710.09412) or set together along a line through the middle (CutMix, arXiv:1905.04899). Nobody looks
    like that: faces without a name.
    """
    n, h, w, _ = crops.shape
    share = draws.uniform((n,), 0.3, 0.7).view(n, 1, 1, 1)
    rows, columns = (
        torch.linspace(-1, 1, h, device=crops.device),
        torch.linspace(-1, 1, w, device=crops.device),
    )
    place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), 2)
    angle = draws.uniform((n,), 0, 2 * math.pi)
    normal = torch.stack([angle.cos(), angle.sin()], 1)
    side = (place @ normal.T).permute(2, 0, 1).unsqueeze(
        3
    ) / 0.1 + 0.5  # an edge a tenth of the crop's half side wide
    cut = draws.chosen(n, 0.5).view(n, 1, 1, 1)
    return blended(crops, torch.where(cut, side.clamp(0, 1), share))


def blended(crops: Tensor, share: Tensor) -> Tensor:
    """Each of the crops (n, h, w, 3) uint8 by its share, the next one (the first after the last) by the
    rest."""
    other = crops.roll(-1, 0).float()
    return (other + share * (crops.float() - other)).round_().to(torch.uint8)


def _warped(x: Tensor, views: Tensor, border: float, size_px: int, draws: Draws) -> Tensor:
    """Flip, turn, zoom, shift and resize in one bilinear sampling; outside, the border is repeated."""
    n = len(x)
    grid = F.affine_grid(views, [n, 3, size_px, size_px], align_corners=False)
    if border:
        # Sampling no further out than a box repeats the box's rim: how a tight picture's crop looks.
        cut = draws.uniform((n, 4), 0, 0.4) * draws.chosen(n, border)[:, None]
        low, high = (cut[:, None, None, :2] - 1), (1 - cut[:, None, None, 2:])
        grid = torch.minimum(torch.maximum(grid, low), high)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _lit(x: Tensor, c: TrainConfig, draws: Draws) -> Tensor:
    """Random brightness, then contrast about the photo's mean grey, then saturation about each pixel's grey.

    All three are linear in the colours, so a photo gets one 3 x 3 matrix and one offset.
    """
    n = len(x)
    bright, contrast, saturation = draws.uniform((3, n, 1, 1), 1 - c.light, 1 + c.light)
    saturation = saturation.masked_fill(draws.chosen(n, c.grey).view(n, 1, 1), 0.0)
    to_grey, same = _colour_constants(x.device)
    mean = bright * (x.mean((2, 3)) @ to_grey).view(n, 1, 1)
    mix = saturation * same + (1 - saturation) * to_grey.expand(3, 3)
    flat = x.contiguous().view(n, 3, -1)
    lit = torch.baddbmm((mean * (1 - contrast)).expand(n, 3, 1), bright * contrast * mix, flat)
    return lit.clamp_(0, 255).view(x.shape)


@functools.cache
def _colour_constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """GREY (3,) and the matrix (3, 3) that changes no colour, sent to a device once."""
    return torch.tensor(GREY).to(device), torch.eye(3).to(device)


def _blurred(x: Tensor, share: float, draws: Draws) -> Tensor:
    """Shrink some photos by 1.5 to 4 and enlarge them again: a product with one matrix a photo from either
    side.
    """
    n, size = len(x), x.shape[-1]
    chosen = draws.chosen(n, share)
    factor = 1.5 * (4 / 1.5) ** draws.uniform((n,))
    small = (size / factor).round().long().clamp(min=SMALLEST)
    if (
        x.device.type == "cpu"
    ):  # to look for the chosen ones costs nothing there; a GPU would have to be waited for
        these = torch.nonzero(chosen)[:, 0]
        matrices = _shrinking(size, x.device)[small[these]][:, None]
        x[these] = matrices @ x[these] @ matrices.mT
        return x
    matrices = _shrinking(size, x.device)[torch.where(chosen, small, size)][:, None]
    return matrices @ x @ matrices.mT


@functools.cache
def _shrinking(size: int, device: torch.device) -> Tensor:
    """(size + 1, size, size) float32: entry k is what shrinking a line of so many pixels to k by area and
    enlarging it linearly does to it; entry `size` leaves it as it is, those below SMALLEST are empty."""
    out = torch.zeros(size + 1, size, size)
    line = torch.eye(size)[None]  # as channels: each is a line with one pixel lit
    for small in range(SMALLEST, size + 1):
        out[small] = F.interpolate(
            F.interpolate(line, small, mode="area"), size, mode="linear", align_corners=False
        )[0].T
    return out.to(device)


def _erased(x: Tensor, share: float, draws: Draws) -> Tensor:
    """Random Erasing (Zhong et al. 2017, arXiv:1708.04896): one grey box of 4 to 25 % of the area in some
    photos.
    """
    n, size = len(x), x.shape[-1]
    area = draws.uniform((n,), 0.04, 0.25)
    ratio = torch.exp(draws.uniform((n,), -0.7, 0.7))
    h, w = (area * ratio).sqrt().clamp(max=0.9), (area / ratio).sqrt().clamp(max=0.9)
    top, left = draws.uniform((n,)) * (1 - h), draws.uniform((n,)) * (1 - w)
    place = (torch.arange(size, device=x.device) + 0.5) / size
    rows = (place >= top[:, None]) & (place < (top + h)[:, None])
    columns = (place >= left[:, None]) & (place < (left + w)[:, None])
    box = rows[:, :, None] & columns[:, None, :] & draws.chosen(n, share)[:, None, None]
    return x.masked_fill(box[:, None], FILL)
