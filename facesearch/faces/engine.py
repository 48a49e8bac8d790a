"""OpenVINO, which every installation has: imported so that it does not tell its makers."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from facesearch.errors import PackageMissing

_importing: dict[int, threading.Lock] = {}
"""One lock a process: one that was held while a process forked would stay held in the child."""


def import_openvino() -> Any:
    """The package, imported so that it does not tell its makers.

    Importing openvino sends them "import" over the network, unless the user has opted out. Here its question
    whether it may is answered with no while it is imported, and only then: a later import asks as ever.
    Raises PackageMissing.
    """
    with _importing.setdefault(os.getpid(), threading.Lock()):
        try:
            from openvino_telemetry.utils import opt_in_checker
        except ImportError:  # not there, or the command line's: then nothing is sent
            return _imported()
        checker = opt_in_checker.OptInChecker
        asked = checker.check
        checker.check = lambda *_, **__: opt_in_checker.ConsentCheckResult.DECLINED
        try:
            return _imported()
        finally:
            checker.check = asked


def _imported() -> Any:
    try:
        import openvino
    except ImportError as error:
        raise PackageMissing("openvino", "", "finding and embedding faces on a CPU") from error
    # The first tensor of a process, and the first question for an element's type, set something up. Two
    # threads that do so at once wait for each other, one with the interpreter's lock, for ever.
    openvino.Type.f32.to_dtype()
    for kind in (np.uint8, np.float32):
        openvino.Tensor(np.zeros(1, kind), shared_memory=True)
    return openvino
