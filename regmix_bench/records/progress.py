"""The progress of a run while it goes on: the share of its planned cost, and the seconds left.

Cost is counted in passes, images through the network forwards and backwards. An epoch's are known
once it has begun, those of an attack are planned (:mod:`regmix_bench.evaluation.planned`) until it
has done a batch, and the rate of those so far turns what is left into seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from regmix_bench.records.schema.quantities import Count, Epoch, Images, Seconds, Share
from regmix_bench.types import Checkpoint, Frozen

#: Seconds from one progress that is told to the next, unless another stage begins.
INTERVAL = 0.5


class Progress(Frozen):
    """The progress of a run, as an observer hears it: twice a second, and when a stage begins.

    In ``training``, ``epoch`` of ``epochs`` is trained, counted from 1, and ``epoch_share`` (0 to
    1) of its batches are done; in ``pseudo-labels`` that is said of the standard model that labels
    images for the training, which then has not begun. In ``scoring``, ``attack`` at ``threat``, an
    ε as ``8/255``, or with its norm where there are several, is done with ``images_done`` of the
    ``images`` that it sees, of the weights ``checkpoint``; the attack may be ``clean``, the
    ``views`` of an inspection or the ``saved images`` of an audit. ``attack_share`` (0 to 1) of its
    passes are done: as batches may take long, images of one count by the passes that are made of
    them. It is ``part`` of ``parts``, counted from 1, of all that is to be scored. A ``diagnosis``
    has all these but an attack and its images. What a stage does not have is None.

    ``share`` (0 to 1) of the planned cost of training and scoring is done; it never falls while a
    process goes on. ``seconds_left`` are an estimate, None before anything is measured.
    """

    stage: Literal["pseudo-labels", "training", "scoring", "diagnosis"]
    epoch: Epoch | None = None
    epochs: Epoch | None = None
    epoch_share: Share | None = None
    checkpoint: Checkpoint | None = None
    threat: str | None = None
    attack: str | None = None
    images_done: Count | None = None
    images: Images | None = None
    attack_share: Share | None = None
    part: Count | None = None
    parts: Count | None = None
    share: Share = 0.0
    seconds_left: Seconds | None = None


class Part(NamedTuple):
    """A part of scoring: an attack on a checkpoint under a threat; without one, its diagnosis.

    ``threat`` is as ``Linf 8/255``.
    """

    checkpoint: Checkpoint
    threat: str
    attack: str | None = None


def told(threat: str, among: Iterable[str]) -> str:
    """Return ``Linf 8/255`` as ``8/255`` where no threat is ``among`` them of another norm."""
    norm, _, epsilon = threat.rpartition(" ")
    return epsilon if all(other.rpartition(" ")[0] == norm for other in among) else threat


class ProgressMeter:
    """Counts the passes of one run as they are made; ``tell`` hears how far it is.

    It hears so at most every :data:`INTERVAL` seconds, and when a stage or an attack begins. In
    between a count costs a look at ``clock``, and nothing ever waits for a device.
    """

    def __init__(
        self, tell: Callable[[Progress], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell, self._clock = tell, clock
        self._due, self._share = float("-inf"), 0.0
        self._training, self._scoring = _Rate(), _Rate()
        self._epoch, self._epochs, self._epoch_share, self._per_epoch = 1, 0, 0.0, 0.0
        self._planned: dict[Part, float] = {}
        self._threats: set[str] = set()
        self._parts = 0
        self._part: Part | None = None
        self._images, self._judged, self._images_done = 0, 0, 0
        self._expected, self._passes = 0.0, 0  # of the part at hand
        self._scored = 0  # passes of the parts before it

    def plan(self, parts: Mapping[Part, float]) -> None:
        """Take over what is to be scored, and the passes that each part is expected to take."""
        self._planned, self._parts = dict(parts), len(parts)
        self._threats = {part.threat for part in self._planned}

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Begin ``epoch``, counted from 1, of ``epochs``."""
        self._training.start(self._clock())
        self._epoch, self._epochs, self._epoch_share = epoch, epochs, 0.0
        self._tell_now(self._clock())

    def step(self, share: float, passes: int, waited: bool) -> None:
        """Count the steps of an epoch so far, a ``share`` (0 to 1) of it, and their ``passes``.

        ``waited`` says that the device has done them, and not only that it will.
        """
        if (now := self._clock()) < self._due:
            return
        if not self._training.passes:  # no epoch is done
            self._per_epoch = passes / share
        self._epoch_share = share
        if waited:
            self._training.look(now, passes)
        self._tell_now(now)

    def end_epoch(self, passes: int) -> None:
        """Count an epoch that has been trained and validated, all in so many ``passes``."""
        self._per_epoch, self._epoch_share = passes, 1.0
        self._training.passes += passes
        self._training.look(self._clock())

    def begin(self, part: Part, images: int) -> None:
        """Begin a part of scoring on so many ``images``; one that is not planned is not told of."""
        self._scored += self._passes
        expected = self._planned.pop(part, None)
        self._expected, self._passes = expected or 0.0, 0
        self._part = None if expected is None or not images else part
        self._images, self._judged, self._images_done = images, 0, 0
        if self._part is not None:
            self._scoring.start(self._clock())
            self._tell_now(self._clock())

    def passed(self, images: int, again: bool = False) -> None:
        """Count ``images`` that an attack passed through the model, be it in an earlier process."""
        if self._part is None:
            return
        self._passes += images
        if not again:
            self._scoring.passes += images
        if (now := self._clock()) >= self._due:
            self._scoring.look(now)
            self._tell_now(now)

    def judged(self, images: int) -> None:
        """Count ``images`` with which the part at hand is done."""
        self._judged = min(self._images, self._judged + images)
        if self._judged:
            self._expected = self._passes * self._images / self._judged

    def _tell_now(self, now: float) -> None:
        self._due = now + INTERVAL
        epochs = self._epoch - 1 + self._epoch_share
        to_train = (self._epochs - epochs) * self._per_epoch
        to_score = sum(self._planned.values()) + max(0.0, self._expected - self._passes)
        done = epochs * self._per_epoch + self._scored + self._passes
        if done:
            self._share = max(self._share, done / (done + to_train + to_score))
        rates = [rate.seconds for rate in (self._training, self._scoring)]
        known = next((rate for rate in rates if rate is not None), None)
        training, scoring = (known if rate is None else rate for rate in rates)
        left = None
        if training is not None and scoring is not None:
            left = to_train * training + to_score * scoring
        self._tell(self._stage().model_copy(update={"share": self._share, "seconds_left": left}))

    def _stage(self) -> Progress:
        if self._part is None:
            epoch, share = self._epoch, self._epoch_share
            return Progress(stage="training", epoch=epoch, epochs=self._epochs, epoch_share=share)
        checkpoint, threat, attack = self._part
        share = min(1.0, self._passes / self._expected) if self._expected else 0.0
        # Of a batch that is attacked not all are done, however many passes it takes.
        under_way = min(int(share * self._images), self._images - 1)
        self._images_done = max(self._images_done, self._judged, under_way)
        return Progress(
            stage="scoring" if attack else "diagnosis",
            checkpoint=checkpoint,
            threat=told(threat, self._threats),
            attack=attack,
            images_done=self._images_done if attack else None,
            images=self._images if attack else None,
            attack_share=share,
            part=self._parts - len(self._planned),
            parts=self._parts,
        )


def before_training(tell: Callable[[Progress], None]) -> ProgressMeter:
    """Return the meter of the model that gives pseudo-labels, of which ``tell`` hears as such.

    Of the run itself nothing is done then, and nothing measured.
    """

    def told_of_run(progress: Progress) -> None:
        nothing = {"stage": "pseudo-labels", "share": 0.0, "seconds_left": None}
        tell(progress.model_copy(update=nothing))

    return ProgressMeter(told_of_run)


def uncounted(spec: object) -> ProgressMeter:
    """Return a meter that tells nobody."""
    return ProgressMeter(lambda progress: None)


class _Rate:
    """The ``seconds`` that a pass takes; None before it is measured."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.passes = 0
        self.seconds: float | None = None

    def start(self, now: float) -> None:
        if self.started is None:
            self.started = now

    def look(self, now: float, beside: int = 0) -> None:
        """Measure, with passes ``beside`` those that are counted."""
        passes = self.passes + beside
        if self.started is not None and passes:
            self.seconds = (now - self.started) / passes
