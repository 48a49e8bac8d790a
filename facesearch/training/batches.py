"""The data path of training: which photos a step learns, and what is done to them before the network sees
them.

All of it depends on the recipe's seed, the epoch, the step and this process's number, and on nothing else: a
run that goes on in the middle of an epoch sees what it would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facesearch.errors import BadConfig
from facesearch.ranks import Ranks
from facesearch.records import I64
from facesearch.training.augment import Augmenter, Draws, blended
from facesearch.training.distillation import Distillation, Lesson
from facesearch.training.losses import Names
from facesearch.training.photos import Photos
from facesearch.training.recipe import TrainConfig


@dataclass(frozen=True, slots=True)
class Batch:
    """What one process learns in one step. pixels (n, 3, s, s) float32 in 0..255, channels last; views (n, 2,
    3) as drawn by the augmenter; lesson: what the teacher says, where there is one."""

    pixels: Tensor
    names: Names
    views: Tensor
    lesson: Lesson | None

    def tensors(self) -> Iterator[Tensor]:
        """All tensors in it."""
        yield from (self.pixels, self.views, self.names.labels)
        yield from (tensor for tensor in (self.names.second, self.names.share) if tensor is not None)
        if self.lesson is not None:
            yield from (self.lesson.vectors, self.lesson.lengths, *self.lesson.maps)


class Batches:
    """The batches of a run, for one of its processes."""

    def __init__(
        self,
        config: TrainConfig,
        photos: Photos,
        device: torch.device,
        distillation: Distillation | None,
        ranks: Ranks,
        resident: Tensor | None = None,
    ) -> None:
        """resident: the crops of photos on the device, where they are. Raises BadConfig for a batch that the
        processes cannot share evenly."""
        self.config, self.photos, self.device, self.ranks = config, photos, device, ranks
        self.distillation = distillation
        self.augmenter = Augmenter(config)
        self._shown = photos.repeated(config.repeat)
        """The photo behind each number of an epoch's first round."""
        self.drawn = len(self._shown) * self.augmenter.multiplies
        """How many versions of photos an epoch goes through."""
        self.steps = max(1, self.drawn // config.batch_size)
        if ranks.world > 1:
            if config.batch_size % ranks.world or config.batch_size < 2 * ranks.world:
                raise BadConfig(
                    "batch_size",
                    config.batch_size,
                    f"a multiple of the {ranks.world} processes, at least two photos for each",
                )
            if config.batch_size > self.drawn:
                raise BadConfig(
                    "batch_size",
                    config.batch_size,
                    f"at most the {self.drawn} photos there are, when processes share it",
                )
        self._resident, self._labels = resident, torch.from_numpy(photos.label).to(device)
        self.is_ahead = device.type == "cuda" and not (
            config.colour_mode != "off" and (config.dropout or config.class_sample < 1)
        )
        """Whether the next batch is made while the network works on this one: on a GPU, where the processor
        would be idle. Colours and dropout both draw from torch's one generator, so with both they take turns.
        """

    def seed(self, epoch: int, step: int) -> int:
        """What all randomness of this process in this step grows from."""
        own = f" {self.ranks.rank}" if self.ranks.rank else ""
        return int.from_bytes(
            hashlib.sha256(f"{self.config.seed} {epoch} {step}{own}".encode()).digest()[:7], "big"
        )

    def of_epoch(
        self, epoch: int, first: int = 0, at: Callable[[int], float] | None = None
    ) -> Generator[Batch, None, None]:
        """The batches of an epoch from step `first` on. at: the moment of the run, in epochs of the recipe,
        at which a step is made, if not by its number; size and teacher go by it."""
        c, order = self.config, np.random.default_rng([self.config.seed, epoch]).permutation(self.drawn)

        def make(step: int) -> Batch:
            numbers = order[step * c.batch_size : (step + 1) * c.batch_size]
            return self.make(numbers, epoch, step, None if at is None else at(step))

        steps = range(first, self.steps)
        return ahead(make, steps, self.device) if self.is_ahead else (make(step) for step in steps)

    def make(self, numbers: I64, epoch: int, step: int, moment: float | None = None) -> Batch:
        """This process's part of the step's photos `numbers` (m,), numbered through all their versions, at a
        moment of the run.
        """
        c, dev = self.config, self.device
        moment = epoch + step / self.steps if moment is None else moment
        share = len(numbers) // self.ranks.world
        numbers = numbers[self.ranks.rank * share :][:share] if self.ranks.world > 1 else numbers
        seed = self.seed(epoch, step)
        if c.colour_mode != "off":
            torch.manual_seed(seed)  # torchvision's colour transforms draw from here
        draws = Draws(torch.Generator().manual_seed(seed), len(numbers), dev)
        photo = self._shown[numbers % len(self._shown)]
        version = torch.from_numpy(numbers // len(self._shown)) if self.augmenter.multiplies > 1 else None
        index = torch.from_numpy(photo).to(dev)
        crops = self._resident[index] if self._resident is not None else self.photos.crops(photo).to(dev)
        names = Names(self._labels[index])
        views, lesson = self.augmenter.views(len(photo), draws), None
        if c.mixup:
            part, count = torch.ones(len(photo), device=dev), round(c.mixup * len(photo))
            part[:count] = draws.uniform((count,))
            # Of the others nothing changes, and blending is the dearest thing here: it is left out for them.
            crops = torch.cat(
                [blended(crops[: count + 1], part[: count + 1].view(-1, 1, 1, 1))[:count], crops[count:]]
            )
            names = Names(names.labels, names.labels.roll(-1), part)
        live = 0
        if self.distillation is not None:
            live = self.distillation.live(len(photo), moment)
            crops, labels, views = self.distillation.mix(crops, names.labels, views, live, draws)
            names = Names(labels)
        pixels = self.augmenter(crops, version, views, c.size_at(moment), draws)
        if self.distillation is not None:
            lesson = self.distillation.lesson(index, crops, pixels, live)
        return Batch(pixels, names, views, lesson)


def ahead(make: Callable[[int], Batch], steps: range, device: torch.device) -> Generator[Batch, None, None]:
    """The batches of steps in order, each made in a thread while the one before is in use; on a GPU in a
    stream of its own.
    """
    stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def made(step: int) -> tuple[Batch, torch.cuda.Event | None]:
        if stream is None:
            return make(step), None
        with torch.cuda.device(device), torch.cuda.stream(stream):
            batch = make(step)
            return batch, stream.record_event()

    with ThreadPoolExecutor(1, "batches") as thread:
        waiting = [thread.submit(made, step) for step in steps[:1]]
        for step in steps:
            batch, done = waiting.pop().result()
            if step + 1 in steps:
                waiting.append(thread.submit(made, step + 1))
            if done is not None:
                current = torch.cuda.current_stream(device)
                current.wait_event(done)
                for tensor in batch.tensors():
                    if tensor.is_cuda:
                        tensor.record_stream(
                            current
                        )  # its memory is not given away while this stream may still read it
            yield batch
