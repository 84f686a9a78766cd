"""How long a whole training will still take: all its networks, and the trials in between."""

from __future__ import annotations

from collections.abc import Sequence

TRIAL_S_PER_HOUR = 3.0
"""Seconds to try a network on an hour of audio under one condition, until one has been measured."""


class TimeLeft:
    """One estimate for a training of several networks.

    Epochs are alike, as each has the same number of steps. Trials take as long as there is audio.

    Args:
        epochs: of all networks together, at most.
        trial_hours: hours of audio that each trial will score.

    >>> left = TimeLeft(epochs=4, trial_hours=[10.0])
    >>> left.epoch_took(60)
    >>> left.in_words()
    'about 4 min left'
    """

    def __init__(self, epochs: int, trial_hours: Sequence[float] = ()) -> None:
        self._epochs = epochs
        self._trial_hours = list(trial_hours)
        self._epoch_times_s: list[float] = []
        self._tried_s, self._tried_hours = 0.0, 0.0

    def epoch_took(self, seconds: float) -> None:
        """One epoch is over."""
        self._epochs -= 1
        self._epoch_times_s.append(seconds)

    def drop(self, epochs: int) -> None:
        """So many epochs are not needed: done before, or the network has stopped learning."""
        self._epochs -= epochs

    def trial_took(self, seconds: float) -> None:
        """The next of the trials is over."""
        self._tried_s += seconds
        self._tried_hours += self._trial_hours.pop(0)

    @property
    def seconds(self) -> float:
        """What is left, by the times taken so far."""
        epoch_s = sum(self._epoch_times_s) / max(1, len(self._epoch_times_s))
        s_per_hour = self._tried_s / self._tried_hours if self._tried_hours else TRIAL_S_PER_HOUR
        return self._epochs * epoch_s + sum(self._trial_hours) * s_per_hour

    def in_words(self) -> str:
        """For a person."""
        seconds = self.seconds
        if seconds < 100:
            return f"about {seconds:.0f} s left"
        if seconds < 100 * 60:
            return f"about {seconds / 60:.0f} min left"
        return f"about {seconds / 3600:.1f} h left"
