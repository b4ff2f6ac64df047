"""The rates at which a training went, derived from what its epochs recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from regmix_bench.records.schema import EpochLog, RunRecord, Work

#: Of less time, or of less that could have been done in it, no rate follows.
_LEAST = 1e-9


#: The share of its time that a thread works at least where nothing else wants its processor.
_UNDISTURBED = 0.95


@dataclass(frozen=True)
class Throughput:
    """Rates over the training steps of epochs, with their memory and energy; None: not measured.

    ``mfu`` is the model FLOPs utilisation (Chowdhery et al., "PaLM", 2022, section 4.1), here the
    share (0 to 1) of the FLOP/s that a large matrix product reaches on the same devices, not of
    what their data sheet promises. It is None above 1, too: then other work on the machine held
    the product up while it was timed. ``peak_memory`` is in bytes, ``energy`` in joules.
    """

    images_per_second: float | None
    flop_per_second: float | None
    mfu: float | None
    peak_memory: int | None
    energy: float | None

    @classmethod
    def of(cls, history: Iterable[EpochLog]) -> Throughput | None:
        """Return that of all epochs which recorded their work; None where there is none."""
        epochs = [(log.seconds, log.work) for log in history if log.work is not None]
        if not epochs:
            return None
        counted = [(seconds, work.flop) for seconds, work in epochs if work.flop is not None]
        compared = [
            (seconds * work.product.flop_per_second, work.flop)
            for seconds, work in epochs
            if work.flop is not None and work.product is not None
        ]
        share = _rate(compared)
        memory = [work.peak_memory for _, work in epochs if work.peak_memory is not None]
        return cls(
            _rate((seconds, float(work.images)) for seconds, work in epochs),
            _rate(counted),
            share if share is not None and share <= 1 else None,
            max(memory, default=None),
            _energy([work for _, work in epochs]),
        )


def undisturbed(record: RunRecord) -> bool:
    """Return whether a training is known to have had its machine to itself.

    That is one on a CPU whose threads worked all the time of its steps, but for a twentieth: other
    work on the machine would have kept them waiting. Nothing is known of a GPU, nor of records that
    are older than what this is read from.
    """
    worked = [log.work.processor_seconds if log.work else None for log in record.history]
    known = [seconds for seconds in worked if seconds is not None]
    threads = record.environment.get("threads")
    if not known or len(known) < len(worked) or not isinstance(threads, int):
        return False
    devices = record.environment.get("devices", 1)
    took = math.fsum(log.seconds for log in record.history) * threads
    return isinstance(devices, int) and math.fsum(known) >= _UNDISTURBED * took * devices


def _rate(parts: Iterable[tuple[float, float]]) -> float | None:
    """What was done over what it took, of (took, done) of each epoch."""
    pairs = list(parts)
    took = math.fsum(took for took, _ in pairs)
    return math.fsum(done for _, done in pairs) / took if took > _LEAST else None


def _energy(works: list[Work]) -> float | None:
    """That of all epochs, or None: part of it would look like a saving."""
    found = [work.energy for work in works if work.energy is not None]
    return math.fsum(found) if len(found) == len(works) else None
