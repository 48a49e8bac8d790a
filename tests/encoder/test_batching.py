"""Many threads, one encoder: everybody gets their own vectors, in batches that stay within bounds."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facesearch.encoder.batching import BatchingRuntime
from facesearch.records import F32, U8
from tests.helpers.drawn import ColourEncoder


class Gated(ColourEncoder):
    """Waits to be let through, so that a test decides what gathers meanwhile; remembers the sizes of its
    batches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def embed(self, crops: U8) -> F32:
        self.sizes.append(len(crops))
        self.entered.set()
        assert self.gate.wait(20)
        return super().embed(crops)


def crops(seed: int, n: int) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (n, 112, 112, 3), np.uint8)


@contextmanager
def batching(encoder: ColourEncoder, *, most: int) -> Iterator[BatchingRuntime]:
    runtime = BatchingRuntime(encoder, most=most)
    try:
        yield runtime
    finally:
        runtime.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 8))
def test_everybody_gets_their_own_vectors(sizes: list[int], most: int):
    oracle = ColourEncoder()
    with batching(ColourEncoder(), most=most) as runtime, ThreadPoolExecutor(12) as pool:
        asked = [crops(seed, n) for seed, n in enumerate(sizes)]
        for mine, got in zip(asked, pool.map(runtime.embed, asked), strict=True):
            expected = oracle.embed(mine) if len(mine) else np.empty((0, 12), np.float32)
            assert got.shape == expected.shape and np.allclose(got, expected, atol=1e-6)


def test_what_gathers_while_the_encoder_works_goes_through_together_and_within_the_bound():
    encoder = Gated()
    with batching(encoder, most=8) as runtime, ThreadPoolExecutor(20) as pool:
        first = pool.submit(runtime.embed, crops(0, 1))
        assert encoder.entered.wait(20)
        later = [pool.submit(runtime.embed, crops(seed, 3)) for seed in range(1, 6)]
        while runtime._waiting.qsize() < 5:
            threading.Event().wait(0.001)
        encoder.gate.set()
        assert len(first.result(20)) == 1 and all(len(asked.result(20)) == 3 for asked in later)
    assert encoder.sizes == [1, 6, 6, 3]


def test_one_that_is_larger_than_a_batch_goes_alone():
    encoder = Gated()
    encoder.gate.set()
    with batching(encoder, most=4) as runtime:
        assert len(runtime.embed(crops(0, 9))) == 9
    assert encoder.sizes == [9]


def test_an_error_reaches_all_of_its_batch_and_the_next_is_answered():
    class Failing(Gated):
        def embed(self, crops: U8) -> F32:
            vectors = super().embed(crops)
            if len(self.sizes) == 2:
                raise MemoryError("no room")
            return vectors

    encoder = Failing()
    with batching(encoder, most=8) as runtime, ThreadPoolExecutor(4) as pool:
        first = pool.submit(runtime.embed, crops(0, 1))
        assert encoder.entered.wait(20)
        both = [pool.submit(runtime.embed, crops(seed, 1)) for seed in (1, 2)]
        while runtime._waiting.qsize() < 2:
            threading.Event().wait(0.001)
        encoder.gate.set()
        assert len(first.result(20)) == 1
        for asked in both:
            with pytest.raises(MemoryError, match="no room"):
                asked.result(20)
        assert len(runtime.embed(crops(3, 2))) == 2


def test_closing_answers_what_waits_and_refuses_what_comes_later():
    encoder = Gated()
    runtime = BatchingRuntime(encoder, most=2)
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(runtime.embed, crops(seed, 1)) for seed in range(5)]
        while len(encoder.sizes) + runtime._waiting.qsize() < 4:
            threading.Event().wait(0.001)
        closing = pool.submit(runtime.close)
        encoder.gate.set()
        closing.result(20)
        with pytest.raises(RuntimeError, match="closed"):
            runtime.embed(crops(9, 1))
        assert sum(not asked.exception(20) for asked in waiting) >= 4
    runtime.close()


def test_a_batch_of_nothing_is_a_bug():
    with pytest.raises(ValueError, match="at least one"):
        BatchingRuntime(ColourEncoder(), most=0)


def test_a_process_that_ends_waits_for_the_pass_that_is_under_way():
    code = textwrap.dedent("""
        import threading, time
        import numpy as np
        from facesearch.encoder.batching import BatchingRuntime

        class Slow:
            encoder_id, dimension, words, notes = "slow", 4, "slow", {}
            def embed(self, crops):
                begun.set()
                time.sleep(0.5)
                print("done", flush=True)
                return np.zeros((len(crops), 4), np.float32)

        begun = threading.Event()
        runtime = BatchingRuntime(Slow(), most=8)
        crop = np.zeros((1, 112, 112, 3), np.uint8)
        threading.Thread(target=runtime.embed, args=(crop,), daemon=True).start()
        begun.wait()
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
