"""A command that torchrun has started several times: all work, the first one talks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from facesearch.errors import FacesearchError, OfOneProcess

if TYPE_CHECKING:
    from facesearch.ranks import Ranks

if "LOCAL_RANK" in os.environ:
    # Read when torch is loaded. Every process would say once that looking for layers without a gradient takes
    # time.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


@contextmanager
def together(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the other processes of the run, if there are any.

    What those but the first would print goes nowhere; their expected errors come out with their number.

    Args:
        device: The device that was asked for.

    Yields:
        The processes, and the name of this one's own device.

    Raises:
        DeviceMissing: The device is not there.
    """
    from facesearch.ranks import from_environment, joined, own_device

    ranks = from_environment()
    with ExitStack() as stack:
        try:
            if not ranks.is_first:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            own = own_device(device, ranks)
            stack.enter_context(joined(own, ranks))
            yield ranks, own
        except FacesearchError as error:
            if ranks.is_first:
                raise
            raise OfOneProcess(ranks.rank, ranks.world, error) from error
