"""How far a run is: by its steps, or, where the recipe gives it minutes, by the clock."""

from __future__ import annotations

from collections.abc import Callable

from facesearch.training.recipe import TrainConfig

CHECK_SHARE = 0.05
"""Of a run by the clock, the share of its time that checks on val and saving take at most, the last ones
aside.
"""
SPARE = 1.25
"""How much longer than last time the last check and saving may take."""

Clock = Callable[[], float]
"""Seconds that only grow, such as time.monotonic."""


class Pace:
    """A moment of a run is counted in epochs of its recipe, from 0 to epochs: every schedule goes by it."""

    def __init__(self, config: TrainConfig, clock: Clock, begun: float | None = None) -> None:
        """begun: when the time of a run by the clock began, if not now: what is made ready before the first
        step counts.
        """
        self._config, self.clock = config, clock
        self._begun = clock() if begun is None else begun
        self.spent_before = 0.0
        """Seconds of earlier processes of this run."""
        self._checked, self._cost = self._begun, 0.0

    @property
    def by_clock(self) -> bool:
        return self._config.minutes > 0

    @property
    def spent(self) -> float:
        """Seconds that the run has taken so far, all its processes together."""
        return self.spent_before + self.clock() - self._begun

    @property
    def _for_training(self) -> float:
        return max(1e-9, 60 * self._config.minutes - SPARE * self._cost)

    def ending(self, cost: float) -> None:
        """Keep time for the end: a check and saving took cost seconds. The next ones are due when they are
        CHECK_SHARE of the time.
        """
        self._cost, self._checked = cost, self.clock()

    def check_is_due(self) -> bool:
        """Whether an epoch's end is a time to check on val: always, but by the clock only as often as it may
        cost.
        """
        return not self.by_clock or self.clock() - self._checked >= self._cost / CHECK_SHARE

    def is_over(self) -> bool:
        """Whether the clock leaves just the time for the end. False for a run by steps."""
        return self.by_clock and self.spent >= self._for_training

    def moment(self, epoch: int, step: int, steps: int) -> tuple[float, float]:
        """Where the run is when it is at a step of an epoch of so many steps: the moment, and the same in
        steps.
        """
        if not self.by_clock:
            return epoch + step / steps, epoch * steps + step
        moment = self._config.epochs * min(1.0, self.spent / self._for_training)
        return moment, moment * steps
