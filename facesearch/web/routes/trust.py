"""How far the answers can be trusted: the threshold, what was measured, and what is probably wrong."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from facesearch.api import audit as auditing
from facesearch.api import measured
from facesearch.report.lines import plain
from facesearch.report.words import meaning
from facesearch.web.problems import Problem
from facesearch.web.requests import Calibrate, Confirm
from facesearch.web.routes.context import Context, in_thread
from facesearch.web.shapes import model_of


def trust_routes(context: Context) -> APIRouter:
    """Of what is known about the answers."""
    routes = APIRouter(prefix="/v1", tags=["trust"])
    _calibration(routes, context)
    _evaluation(routes, context)
    _audit(routes, context)
    return routes


def _calibration(routes: APIRouter, context: Context) -> None:
    gallery, report = context.gallery, context.settings.report
    shape = model_of(measured.Calibration)

    @routes.get("/calibration", response_model=shape)
    async def calibration() -> Any:
        """The threshold in use, and what other thresholds would let through and miss."""
        return plain(await in_thread(lambda: measured.calibration(gallery, report)))

    @routes.post("/calibration", response_model=shape)
    async def calibrate(wanted: Calibrate) -> Any:
        """Set the threshold with the gallery's own people as strangers: an extrapolation. Strangers' photos:
        the command line.
        """
        await in_thread(lambda: gallery.calibrate(fpir=wanted.fpir, keep_better=not wanted.replace))
        return await calibration()


def _evaluation(routes: APIRouter, context: Context) -> None:
    gallery, report = context.gallery, context.settings.report

    @routes.get("/evaluation", response_model=model_of(measured.Evaluation))
    async def evaluation() -> Any:
        """What was measured of the encoder, each figure with its interval and its meaning."""
        found = await in_thread(lambda: measured.evaluation(gallery, report, meaning))
        if found is None:
            raise Problem(
                "no-evaluation",
                404,
                "This encoder has not been measured here yet. Measure it with: facesearch evaluate",
            )
        return plain(found)


def _audit(routes: APIRouter, context: Context) -> None:
    @routes.get("/audit", response_model=model_of(auditing.Audit))
    async def audit(limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Any:
        """What is probably wrong in the gallery. The first time it runs in the background: ask again until
        state is done.
        """
        return plain(await in_thread(lambda: context.checkup.findings(limit)))

    @routes.post("/audit/confirm", status_code=204)
    async def confirm_finding(wanted: Confirm) -> None:
        """Remember that a finding was looked at and is right as it is; or, with right false, that it
        was not."""
        await in_thread(lambda: auditing.confirm(context.gallery, wanted.finding, right=wanted.right))
