"""What one process of several does in tests: `python -m tests.helpers.rank_work WORK WORDS...`, started by
tests/ranks.py.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from facesearch import workers
from facesearch.datasets.table import open_dataset
from facesearch.encoder import stream
from facesearch.encoder.device import choose_device
from facesearch.errors import Interrupted, PeerLost
from facesearch.gallery import build
from facesearch.ranks import Ranks, from_environment, joined
from facesearch.training.losses import ArcFaceHead, Names
from facesearch.training.recipe_files import load_recipe
from facesearch.training.sharded_head import ShardedArcFace
from facesearch.training.synced_norm import synchronise_norms
from tests.helpers.drawn import ColourEncoder

if TYPE_CHECKING:  # with it torchvision comes, which takes as long as torch
    from facesearch.training.trainer import Step


def talk(ranks: Ranks) -> None:
    """What the processes tell one another arrives."""
    own = torch.arange(6.0).reshape(2, 3) + 10 * ranks.rank
    assert (
        torch.equal(ranks.sum(own), 2 * torch.arange(6.0).reshape(2, 3) + 10) and own[0, 0] == 10 * ranks.rank
    )
    assert torch.equal(ranks.max(own), torch.arange(6.0).reshape(2, 3) + 10)
    assert ranks.rows(own)[:, 0].tolist() == [0, 3, 10, 13]
    assert ranks.any(False, ranks.rank == 1, ranks.rank == 0) == (False, True, True)
    assert ranks.first_says(f"said by {ranks.rank}") == "said by 0"
    parts = ranks.collect(own[: 1 + ranks.rank].numpy(), [1, 2])
    assert (parts is None) if ranks.rank else parts[:, 0].tolist() == [0, 10, 13]


def norms(ranks: Ranks) -> None:
    """Two halves of a batch are normalised, and learn, as the whole does: against torch's own batch norm on
    the whole.
    """
    torch.manual_seed(3)
    for plain, shape in (
        (nn.BatchNorm2d(5), (8, 5, 4, 3)),
        (nn.BatchNorm1d(5, affine=False), (8, 5)),
        (nn.BatchNorm2d(5), (8, 5, 1, 1)),
    ):
        whole, upstream = torch.randn(shape) * 3 + 1, torch.randn(shape)
        if plain.affine:
            nn.init.uniform_(plain.weight), nn.init.uniform_(plain.bias)
        holder = nn.Sequential(nn.BatchNorm2d(5) if len(shape) == 4 else nn.BatchNorm1d(5, affine=False))
        holder.load_state_dict({f"0.{name}": value.clone() for name, value in plain.state_dict().items()})
        synchronise_norms(holder, torch.device("cpu"), ranks)
        own = slice(4 * ranks.rank, 4 * ranks.rank + 4)
        for _ in range(2):
            x, half = whole.clone().requires_grad_(), whole[own].clone().requires_grad_()
            expected, found = plain(x), holder(half)
            plain.zero_grad(), holder.zero_grad()
            (expected * upstream).sum().backward()
            (found * upstream[own]).sum().backward()
            assert torch.allclose(found, expected[own], atol=1e-5)
            assert torch.allclose(half.grad, x.grad[own], atol=1e-5)
            for mine, right in zip(holder.parameters(), plain.parameters(), strict=True):
                assert torch.allclose(ranks.sum(mine.grad), right.grad, atol=1e-4)
            for name, right in plain.named_buffers():
                assert torch.allclose(holder.get_buffer(f"0.{name}"), right, atol=1e-5), name
        assert torch.allclose(holder.eval()(whole), plain.eval()(whole), atol=1e-5)
        assert torch.allclose(holder.train()(whole[own].bfloat16()).float(), holder(whole[own]), atol=0.05)


def heads(ranks: Ranks) -> None:
    """Losses and gradients of sharded centres are those of ArcFace over all of them."""
    d, classes, n = 16, 7, 6
    for smoothing, blended, margin in (
        (0.0, False, 0.3),
        (0.1, False, 0.5),
        (0.1, True, 0.2),
        (0.0, True, 0.0),
    ):
        torch.manual_seed(4)
        plain = ArcFaceHead(d, classes, 20.0)
        torch.manual_seed(4)
        sharded = ShardedArcFace(d, classes, 20.0, ranks)
        assert (
            torch.equal(sharded.centres, plain.centres[sharded.start : sharded.stop])
            and sum(sharded.sizes) == classes
        )
        whole = torch.randn(n * ranks.world, d)
        labels = torch.randint(-1, classes, (n * ranks.world,))
        labels[0], whole[0] = 2, 3 * plain.centres[2].detach()  # one that is right without a doubt
        own = slice(n * ranks.rank, n * (ranks.rank + 1))
        share, second = torch.rand(len(labels)), labels.flip(0)
        if blended:
            labels, second = labels.clamp(min=0), second.clamp(min=0)
        names = Names(labels, second, share) if blended else Names(labels)
        mine = Names(labels[own], second[own], share[own]) if blended else Names(labels[own])
        x, half = whole.clone().requires_grad_(), whole[own].clone().requires_grad_()
        expected, right = plain.judged(x, names, margin, smoothing)
        found, found_right = sharded.judged(half, mine, margin, smoothing)
        assert torch.allclose(found, expected[own], rtol=1e-4, atol=1e-5)
        assert torch.equal(found_right, right[own]) and (not len(right) or right[0])
        weights = torch.rand(len(labels))
        (expected * weights).sum().backward()
        (
            found * weights[own] * ranks.world
        ).sum().backward()  # as the trainer scales it, for gradients are averaged
        assert torch.allclose(half.grad, ranks.world * x.grad[own], rtol=1e-4, atol=1e-6)
        assert torch.allclose(
            sharded.centres.grad, plain.centres.grad[sharded.start : sharded.stop], rtol=1e-4, atol=1e-6
        )
        whole_again = sharded.whole(sharded.centres)
        assert (whole_again is None) if ranks.rank else torch.equal(whole_again, plain.centres)


def samples(ranks: Ranks) -> None:
    """With a sample, losses and gradients are those of ArcFace over the centres that took part, the batch's
    own among them.
    """
    d, classes, n = 8, 40, 4
    torch.manual_seed(5)
    head = ShardedArcFace(d, classes, 10.0, ranks, sample=0.25)
    torch.manual_seed(5)
    plain = ArcFaceHead(d, classes, 10.0)
    whole, labels = torch.randn(n * ranks.world, d), torch.randint(0, classes, (n * ranks.world,))
    labels[1] = -1
    own = slice(n * ranks.rank, n * (ranks.rank + 1))
    torch.manual_seed(100 + ranks.rank)
    state = torch.get_rng_state()
    taken = head._taking_part(labels) + head.start
    assert len(taken) == max(
        -(-len(head.centres) // 4), len({int(i) for i in labels if head.start <= i < head.stop})
    )
    torch.set_rng_state(state)
    half = whole[own].clone().requires_grad_()
    found, _ = head.judged(half, Names(labels[own]), 0.3, 0.1)
    found.sum().backward()
    mask = torch.zeros(classes)
    mask[taken] = 1
    everyone = torch.nonzero(ranks.sum(mask))[:, 0]
    assert set(labels[labels >= 0].tolist()) <= set(everyone.tolist()) and len(everyone) < classes
    x = whole.clone().requires_grad_()
    logits = 10.0 * F.linear(F.normalize(x), F.normalize(plain.centres[everyone]))
    known = labels >= 0
    column = torch.searchsorted(everyone, labels.clamp(min=0))
    hard = plain.with_margin(logits[known], column[known], 0.3)
    losses = torch.zeros(len(labels)).masked_scatter(
        known, F.cross_entropy(hard, column[known], label_smoothing=0.1, reduction="none")
    )
    losses.sum().backward()
    assert torch.allclose(found, losses[own], rtol=1e-4, atol=1e-5)
    assert torch.allclose(half.grad, x.grad[own], rtol=1e-4, atol=1e-6)
    assert torch.allclose(
        ranks.world * head.centres.grad, plain.centres.grad[head.start : head.stop], rtol=1e-4, atol=1e-6
    )
    head.eval()
    torch.manual_seed(1)
    assert torch.allclose(
        head.judged(half, Names(labels[own]), 0, 0)[0],
        plain.judged(whole, Names(labels), 0, 0)[0][own],
        rtol=1e-4,
    )


def training(ranks: Ranks, recipe: str, data: str, out: str, *how: str) -> None:
    """A run; how: `resume`; `stop EPOCH STEP`, by SIGTERM to one process; `kill EPOCH STEP`, the last process
    dead at once.
    """
    from facesearch.training.train import train

    def on_step(step: Step) -> None:
        if (
            how[:1] in (("stop",), ("kill",))
            and ranks.rank == ranks.world - 1
            and [str(step.epoch), str(step.step)] == list(how[1:])
        ):
            os.kill(os.getpid(), signal.SIGTERM if how[0] == "stop" else signal.SIGKILL)

    def tell(line: str) -> None:
        sys.stderr.write(line + "\n")

    try:
        train(
            load_recipe(Path(recipe)),
            [open_dataset(Path(data))],
            [],
            choose_device("cpu", "float32"),
            Path(out),
            resume="resume" in how,
            tell=tell,
            on_step=on_step,
            on_epoch=lambda result, folder: None,
            on_teacher=lambda done, total: None,
            ranks=ranks,
        )
    except Interrupted as error:
        assert how[0] == "stop", error


def trainings(ranks: Ranks, *words: str) -> None:
    """Runs one after another, their words parted by `then`: a process is started once for all of them."""
    for run in " ".join(words).split(" then "):
        training(ranks, *run.split(" "))


def building(ranks: Ranks, gallery: str, kill_at: str, *data: str) -> None:
    """Build a gallery by mean colours, four photos at a time; the last process dies when it has embedded
    kill_at photos.
    """
    build.COMMIT = stream.BATCH = 4
    encoder = ColourEncoder()
    embed = encoder.embed

    def deadly(crops: np.ndarray) -> np.ndarray:
        if ranks.rank == ranks.world - 1 and 0 <= int(kill_at) <= encoder.seen:
            os.kill(os.getpid(), signal.SIGKILL)
        return embed(crops)

    encoder.embed = deadly  # type: ignore[method-assign]
    datasets = [open_dataset(Path(folder)) for folder in data]
    result = build.build_index(
        datasets, Path(gallery), encoder, splits=(), fpir=None, progress=lambda done, total: None, ranks=ranks
    )
    sys.stdout.write(f"{result.added} {result.known} {encoder.seen}\n")


def oracles(ranks: Ranks) -> None:
    for work in (talk, norms, heads, samples) if ranks.world > 1 else (heads, samples):
        work(ranks)


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = from_environment()
    with joined("cpu", here):
        try:
            globals()[sys.argv[1]](here, *sys.argv[2:])
        except PeerLost as error:
            sys.stderr.write(f"{error.advice}\n")
            raise
    if workers.do_foreign_threads_stay():  # as the command line ends
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(0)
