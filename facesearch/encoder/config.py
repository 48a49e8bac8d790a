"""What an encoder's network is, as its file tells it: all that must be known to build it again and to feed
it. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LAST_LAYER = {
    "resnet18": "fc",
    "resnet34": "fc",
    "resnet50": "fc",
    "efficientnet_b0": "classifier.1",
    "efficientnet_v2_m": "classifier.1",
}


LARGEST = 65_536
"""More numbers, or pixels a side, no encoder has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The network of an encoder. size_px: the side to which crops are resized; flip_average: over both mirror
    images.
    """

    backbone: str = "resnet34"
    encoder_last_layer_name: str = "fc"
    embedding_size: int = 512
    head: tuple[int, ...] = ()
    embedding_batchnorm: bool = False
    dropout: float = 0.0
    size_px: int = 112
    flip_average: bool = True
    pooling: str = "average"

    def described(self) -> dict[str, Any]:
        """What an encoder's id is made of: all settings, those that came later only where they are not as
        they used to be.
        """
        raw = asdict(self)
        if self.pooling == "average":
            del raw["pooling"]
        return raw

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """From a weights file's description; what this version does not know is passed over. Raises
        TypeError, ValueError.
        """
        known = {field.name for field in fields(cls)}
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in raw.items()
            if name in known
        }
        config = cls(**kept)
        whole = (config.embedding_size, config.size_px, *config.head)
        if not all(type(value) is int and 1 <= value <= LARGEST for value in whole):
            raise ValueError("a size in its description is no whole number that can be")
        if not all(type(value) is bool for value in (config.embedding_batchnorm, config.flip_average)):
            raise ValueError("its description says neither true nor false where it should")
        if (
            config.backbone not in LAST_LAYER
            or config.pooling not in ("average", "weighted")
            or not config.encoder_last_layer_name
        ):
            raise ValueError(
                f"its network, {config.backbone!r} with {config.pooling!r} pooling, is none that is known"
            )
        return config
