"""All that learns, in one module: from a batch to the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facesearch.encoder.network import Encoder
from facesearch.errors import BadConfig
from facesearch.ranks import Ranks
from facesearch.training.batches import Batch
from facesearch.training.distillation import Distillation
from facesearch.training.fast_conv import speed_up
from facesearch.training.losses import Head, Student, make_head
from facesearch.training.recipe import TrainConfig
from facesearch.training.sharded_head import ShardedArcFace


class Learner(nn.Module):
    """Encoder, classification head and student together, so that they are averaged and saved as one."""

    def __init__(
        self, encoder: Encoder, head: Head | ShardedArcFace, student: Student | None, stages: Sequence[str]
    ) -> None:
        """stages: dotted names of the backbone's parts whose outputs the student's maps are made of, in its
        order.
        """
        super().__init__()
        self.encoder, self.head, self.student = encoder, head, student
        self._stages: list[Tensor] = []
        """The stages' outputs in the forward pass that ran last, while training."""
        for stage in stages:
            encoder.backbone.get_submodule(stage).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        if self.training:
            self._stages.append(output)

    def forward(
        self, batch: Batch, margin_rad: float, smoothing: float, distillation: Distillation | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Losses of the names (n,), whether each name was right (n,) bool, and how far all is from the
        teacher's lesson ().
        """
        self._stages.clear()
        embedding: Tensor = self.encoder(batch.pixels)
        with torch.autocast(batch.pixels.device.type, enabled=False):
            losses, right = self.head.judged(embedding, batch.names, margin_rad, smoothing)
        if distillation is None or self.student is None or batch.lesson is None:
            return losses, right, None
        return (
            losses,
            right,
            distillation.loss(self.student, embedding, self._stages, batch.views, batch.lesson),
        )


def make_learner(
    config: TrainConfig, classes: int, distillation: Distillation | None, encoder: Encoder, ranks: Ranks
) -> Learner:
    """The head and the student that go with an encoder just made. Raises BadConfig for fewer classes than
    shards.
    """
    if config.shard_classes and classes < ranks.world:
        raise BadConfig(
            "shard_classes", True, f"false: {classes} people cannot be spread over {ranks.world} processes"
        )
    head: Head | ShardedArcFace = (
        ShardedArcFace(config.embedding_size, classes, config.scale, ranks, config.class_sample)
        if config.shard_classes
        else make_head(config.loss, config.embedding_size, classes, config.scale)
    )
    if distillation is None:
        return Learner(encoder, head, None, ())
    stages = stages_of(config)
    teacher = distillation.teacher
    channels = [encoder.map_of(stage)[0] for stage in stages]
    direct = config.distill_guess == "embedding"
    if direct and teacher.dimension != config.embedding_size:
        raise BadConfig(
            "embedding_size",
            config.embedding_size,
            f"{teacher.dimension}, as the teacher's vectors, for this distill_guess",
        )
    student = Student(
        config.embedding_size,
        teacher.dimension,
        list(zip(channels, teacher.channels, strict=True)),
        direct=direct,
    )
    return Learner(encoder, head, student, stages)


def make_encoder(config: TrainConfig) -> Encoder:
    """The recipe's network, of random numbers, with convolutions that train fast."""
    encoder = Encoder(config.network())
    if config.zero_init_residual:
        encoder.zero_residuals()
    speed_up(encoder)
    return encoder


def stages_of(config: TrainConfig) -> tuple[str, ...]:
    """The stages of the backbone whose maps are to be like the teacher's."""
    return config.distill_stages if config.teacher and config.distill_maps else ()
