"""What a teacher adds to a training run: what it says of the photos, and how far the student is from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facesearch.encoder.dataset_vectors import dataset_vectors
from facesearch.encoder.device import Device
from facesearch.encoder.network import as_pixels
from facesearch.records import Progress, Tell
from facesearch.training.augment import Draws, mixed
from facesearch.training.losses import (
    Student,
    length_distance,
    map_distance,
    relation_distance,
    vector_distance,
)
from facesearch.training.photos import LOOK, Photos
from facesearch.training.recipe import TrainConfig
from facesearch.training.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the teacher says of one batch. vectors (n, t) of length 1; of the live photos, which come first:
    lengths (live,) of the vectors before that, and maps, each (live, c, h, w), as the teacher's view was
    (distill_view)."""

    vectors: Tensor
    lengths: Tensor
    maps: tuple[Tensor, ...]


class Distillation:
    """The teacher with its vectors of every photo, computed once: on a GPU from the crops that are there,
    else kept beside them.
    """

    def __init__(
        self,
        config: TrainConfig,
        photos: Photos,
        resident: Tensor | None,
        val: Photos,
        held: Photos,
        sides: Sequence[int],
        device: Device,
        progress: Progress,
        tell: Tell,
    ) -> None:
        """photos, with their crops where they are on the device, are learned from; held are faces to be
        measured on alone. sides: cells a side of the maps that are to be learned. Raises NotFound,
        PackageMissing, BadCheckpoint."""
        self.config = config
        at_once = (
            (self.live(config.batch_size, config.distill_live_start_epoch) or 512)
            if device.torch.type == "cuda"
            else 64
        )
        self.teacher = Teacher(
            Path(config.teacher),
            config.teacher_preprocess,
            device,
            sides=sides,
            compiled=config.compile_teacher,
            at_once=at_once,
            tell=tell,
        )
        tell(f"the teacher is {self.teacher.words}")
        self._known = self._vectors(photos, resident, progress).to(device.torch)
        self.val = self._vectors(val, None, progress)
        self.held = self._vectors(held, None, progress)
        self.held_lengths = self._lengths(held, device)

    def _vectors(self, photos: Photos, resident: Tensor | None, progress: Progress) -> Tensor:
        out = torch.empty((len(photos), self.teacher.dimension))
        if resident is not None:
            step = 16 * 1024
            for start in range(0, len(photos), step):
                out[start : start + step] = self.teacher.embedded(resident[start : start + step]).cpu()
                progress(min(start + step, len(photos)), len(photos))
            return out
        for i, dataset in enumerate(photos.datasets):
            mine = photos.dataset == i
            if mine.any():
                vectors = dataset_vectors(dataset, photos.row[mine], self.teacher, {}, progress)
                out[torch.from_numpy(mine)] = torch.from_numpy(vectors)
        return out

    def _lengths(self, photos: Photos, device: Device) -> Tensor:
        """(n,) float32: how long the teacher's vectors of plain crops are before they are normalised."""
        out = torch.empty(len(photos))
        for start in range(0, len(photos), LOOK):
            numbers = np.arange(start, min(start + LOOK, len(photos)))
            out[start : start + LOOK] = (
                self.teacher.look(photos.pixels(numbers, device.torch, self.config.size_px))[0]
                .norm(dim=1)
                .cpu()
            )
        return out

    def live(self, n: int, epoch: float) -> int:
        """How many of n photos of a batch are shown to the teacher at this moment of the run."""
        return round(self.config.distill_live * n) if epoch >= self.config.distill_live_start_epoch else 0

    def mix(
        self, crops: Tensor, labels: Tensor, views: Tensor, live: int, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Make the batch ready for the teacher: of its live first photos some become mixtures, labelled -1.

        crops (n, h, w, 3) uint8, labels (n,) int64, views (n, 2, 3), all on one device. Where the teacher
        sees plain crops, a live photo that is to be seen mirrored is mirrored here: a network's map of a
        mirrored face is not the mirrored map.
        """
        if not live:
            return crops, labels, views
        if self.config.distill_view == "plain":
            turned = torch.linalg.det(views[:live, :, :2]) < 0
            flipped = torch.where(turned.view(-1, 1, 1, 1), crops[:live].flip(2), crops[:live])
            crops = torch.cat([flipped, crops[live:]])
            views = views.clone()
            views[:live, 0] *= (1 - 2 * turned.float())[:, None]
        mixtures = round(self.config.distill_mixed * live)
        if mixtures:
            crops = torch.cat([mixed(crops[:mixtures], draws), crops[mixtures:]])
            labels = torch.cat([torch.full_like(labels[:mixtures], -1), labels[mixtures:]])
        return crops, labels, views

    def lesson(self, photo: Tensor, crops: Tensor, pixels: Tensor, live: int) -> Lesson:
        """What the teacher says of a batch: of the photos `photo` (n,), which it knows by number, and of the
        live first ones, which it is shown: as they are in crops (n, h, w, 3) uint8, or in pixels (n, 3, s,
        s), as distill_view says."""
        vectors = self._known[photo]
        if not live:
            return Lesson(vectors, vectors.new_zeros(0), ())
        if self.config.distill_view == "same":
            found, maps = self.teacher.look(pixels[:live], often=True)
            renewed = live
        else:
            found, maps = self.teacher.look(as_pixels(crops[:live], crops.shape[1]), often=True)
            renewed = round(
                self.config.distill_mixed * live
            )  # of the others the mean over both mirror images is known
        vectors = torch.cat([F.normalize(found[:renewed]), vectors[renewed:]])
        return Lesson(vectors, found.norm(dim=1), tuple(maps))

    def loss(
        self, student: Student, embedding: Tensor, stages: Sequence[Tensor], views: Tensor, lesson: Lesson
    ) -> Tensor:
        """How far embedding (n, d) and stages, each (n, c, h, w), are from the lesson, weighted as the recipe
        says.
        """
        c = self.config
        live = len(lesson.lengths)
        total = c.distill_vectors * vector_distance(student.vector(embedding), lesson.vectors)
        if c.distill_length and live > 1:
            total = total + c.distill_length * length_distance(embedding[:live], lesson.lengths)
        if c.distill_relations:
            total = total + c.distill_relations * relation_distance(embedding, lesson.vectors)
        for own, theirs, guess in zip(
            stages, lesson.maps, student.maps, strict=False
        ):  # no maps: no photo is live yet
            seen = theirs
            if c.distill_view == "plain":
                grid = F.affine_grid(
                    views[:live].to(own.device), [live, 1, *own.shape[2:]], align_corners=False
                )
                seen = F.grid_sample(
                    theirs, grid, mode="bilinear", padding_mode="border", align_corners=False
                )
            elif theirs.shape[2:] != own.shape[2:]:
                seen = F.interpolate(theirs, own.shape[2:], mode="bilinear", align_corners=False)
            total = total + c.distill_maps / len(lesson.maps) * map_distance(guess(own[:live]), seen)
        return total
