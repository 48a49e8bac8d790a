"""What a teacher adds to a training run: what it says of the photos, and how far the pupil is from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from facesearch.jobs.training_photos import Photos
from facesearch.jobs.vectors import dataset_vectors
from facesearch.model.augment import mixed
from facesearch.model.losses import Pupil, map_distance, relation_distance, vector_distance
from facesearch.model.recipe import TrainConfig
from facesearch.model.teacher import Teacher
from facesearch.records import Progress


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher says of one batch. vectors (n, t) of length 1; maps, each (live, c, h, w), of its first photos, not yet
    turned."""

    vectors: Tensor
    maps: tuple[Tensor, ...]


class Distillation:
    """The teacher with its vectors of every photo, computed once and kept beside the photos."""

    def __init__(self, config: TrainConfig, train: Photos, val: Photos, sides: Sequence[int], progress: Progress) -> None:
        """sides: cells a side of the maps that shall be foretold. Raises NotFound, PackageMissing, BadCheckpoint."""
        self.config = config
        self.teacher = Teacher(Path(config.teacher), config.teacher_preprocess, sides)
        self._known = self._vectors(train, progress)
        self.val = self._vectors(val, progress)

    def _vectors(self, photos: Photos, progress: Progress) -> Tensor:
        out = torch.empty((len(photos), self.teacher.dimension))
        for i, dataset in enumerate(photos.datasets):
            mine = photos.dataset == i
            vectors = dataset_vectors(dataset, photos.row[mine], self.teacher.runtime, {}, progress)
            out[torch.from_numpy(mine)] = torch.from_numpy(vectors)
        return out

    def show(
        self, crops: Tensor, photo: Tensor, labels: Tensor, views: Tensor, epoch: int, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor, Lesson]:
        """Show the teacher the live part of a batch, some of it mixed; the others it knows by number `photo` (n,).

        crops (n, h, w, 3) uint8, labels (n,) int64, views (n, 2, 3). Returns them as they are to be learned, mixtures labelled
        -1, with the lesson. A live photo that is to be seen mirrored is mirrored here already: a network's map of a mirrored
        face is not the mirrored map.
        """
        c = self.config
        vectors = self._known[photo]
        live = round(c.distill_live * len(crops)) if epoch >= c.distill_live_start_epoch else 0
        if not live:
            return crops, labels, views, Lesson(vectors.to(crops.device), ())
        crops, labels, views = crops.clone(), labels.clone(), views.clone()
        turned = torch.nonzero(torch.linalg.det(views[:live, :, :2]) < 0)[:, 0]
        views[turned, 0] *= -1
        turned = turned.to(crops.device)
        crops[turned] = crops[turned].flip(2)
        mixtures = round(c.distill_mixed * live)
        crops[:mixtures] = mixed(crops[:mixtures], generator)
        labels[:mixtures] = -1
        found, maps = self.teacher.look(crops[:live])
        vectors[:mixtures] = found[:mixtures]
        return crops, labels, views, Lesson(vectors.to(crops.device), tuple(each.to(crops.device) for each in maps))

    def loss(self, pupil: Pupil, embedding: Tensor, stages: Sequence[Tensor], views: Tensor, lesson: Lesson) -> Tensor:
        """How far embedding (n, d) and stages, each (n, c, h, w), are from the lesson, weighted as the recipe says."""
        c = self.config
        total = c.distill_vectors * vector_distance(pupil.vector(embedding), lesson.vectors)
        if c.distill_relations:
            total = total + c.distill_relations * relation_distance(embedding, lesson.vectors)
        for own, theirs, guess in zip(stages, lesson.maps, pupil.maps, strict=False):  # no maps: no photo is live yet
            live, size = len(theirs), own.shape[2:]
            grid = F.affine_grid(views[:live].to(own.device), [live, 1, *size], align_corners=False)
            seen = F.grid_sample(theirs, grid, mode="bilinear", padding_mode="border", align_corners=False)
            total = total + c.distill_maps / len(lesson.maps) * map_distance(guess(own[:live]), seen)
        return total
