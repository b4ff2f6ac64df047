"""One attack on many images: batch by batch, judged by the model itself, and written down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from regmix_bench.attacks.autoattack_checks import collected_warnings
from regmix_bench.attacks.protocol import Attack
from regmix_bench.distributed.collectives import gathered, rank, size
from regmix_bench.errors import UserError, is_out_of_memory, reason
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.journal import Journal
from regmix_bench.evaluation.verdict import BatchOutcome, FailedAttack, judge
from regmix_bench.models.predictions import PassCounter
from regmix_bench.records.progress import ProgressMeter
from regmix_bench.records.schema import Cost
from regmix_bench.types import ThreatModel


@dataclass(frozen=True)
class Stage:
    """An attack, the name under which files know it, and the batches and seeds with which it runs.

    ``everywhere`` lets it see every image, also those that are wrong or broken. Batch ``n`` has the
    seed ``seed`` + ``n``·``stride``. ``counts`` says that it is of the ensemble whose accuracy is
    the robust one, ``spares`` that later attacks do not see what it breaks.
    """

    name: str
    attack: Attack
    batch_size: int
    seed: int = 0
    stride: int = 0
    everywhere: bool = False
    counts: bool = True
    spares: bool = True


class StageOutcome:
    """The result of one stage on each of N images; it does not hold the images themselves.

    ``ran`` (N,) bool, and where it ran the columns of :class:`BatchOutcome` of the same names. Of
    an attack that broke off ``failure`` says why, and nothing counts as done.
    """

    def __init__(self, n: int, failure: str | None = None) -> None:
        self.failure = failure
        self.ran = torch.zeros(n, dtype=torch.bool)
        self.pred = torch.full((n,), -1)
        self.margin = torch.full((n,), torch.nan)
        self.norm = torch.full((n,), torch.nan, dtype=torch.float64)
        self.broke = torch.zeros(n, dtype=torch.bool)
        self.queries = torch.full((n,), -1)
        self.checks: dict[str, None] = {}
        self.cost = Cost()

    def add(self, batch: BatchOutcome, expected: Tensor) -> None:
        """Take over a batch, which must be of the ``expected`` images."""
        if not torch.equal(batch.index, expected.cpu()):
            raise UserError("the state of scoring holds other images than are scored: remove it")
        self.ran[batch.index] = True
        for name in ("pred", "margin", "norm", "broke", "queries"):
            getattr(self, name)[batch.index] = getattr(batch, name).to(getattr(self, name).dtype)
        self.checks |= dict.fromkeys(batch.checks)
        self.cost += batch.cost


def run_stage(
    stage: Stage,
    model: AttackedModel,
    x: Tensor,
    y: Tensor,
    right: Tensor,
    standing: Tensor,
    threat: ThreatModel,
    journal: Journal | None,
    meter: ProgressMeter,
) -> StageOutcome:
    """Attack those of the images (N, C, H, W) that are ``standing`` (N,) bool, or all of them.

    ``right`` (N,) bool says which the model gets right without an attack. A batch that is in the
    ``journal`` is not attacked again. In a group, which needs a journal, each process attacks its
    batches, and then reads those of all. An attack of the ensemble that fails on one batch has
    failed; what it was to be spared is not known of the later ones, so that where it runs after
    all, their batches may be other ones, and are attacked anew. ``meter`` counts.
    """
    chosen = torch.ones_like(standing) if stage.everywhere else standing
    index = chosen.nonzero().squeeze(1)
    batches = index.split(stage.batch_size) if len(index) else ()  # no batch without an image

    def known(number: int) -> BatchOutcome | None:
        found = None if journal is None else journal.read(stage.name, number)
        if found is not None and (stage.everywhere or found.index.equal(batches[number].cpu())):
            return found
        return None

    def attacked(number: int) -> BatchOutcome:
        at, seed = batches[number], stage.seed + number * stage.stride
        found = _attack_batch(stage, model, at, x[at], y[at], right[at], threat, seed, meter)
        if journal is not None:
            journal.write(stage.name, number, found)
        return found

    outcome = StageOutcome(len(y))
    failure: str | None = None
    try:
        for number in range(rank(), len(batches), size()):
            if (found := known(number)) is None:
                found = attacked(number)
            else:
                meter.passed(found.cost.passes * size(), again=True)
            meter.judged(len(batches[number]) * size())
            if size() == 1:
                outcome.add(found, batches[number])
    except FailedAttack as error:
        if stage.everywhere:  # without which there is no score
            raise
        failure = str(error)
    if failures := [failure for failure in gathered(failure) if failure is not None]:
        return StageOutcome(len(y), failures[0])
    if size() > 1:
        for number, expected in enumerate(batches):
            outcome.add(known(number) or attacked(number), expected)
    if journal is not None and rank() == 0:
        journal.end(stage.name, len(batches))
    return outcome


def _attack_batch(
    stage: Stage,
    model: AttackedModel,
    index: Tensor,
    x: Tensor,
    y: Tensor,
    right: Tensor,
    threat: ThreatModel,
    seed: int,
    meter: ProgressMeter,
) -> BatchOutcome:
    """Attack one batch; again, in smaller chunks, where memory runs out."""

    def attempt() -> BatchOutcome:
        with _seeded(seed, x.device), collected_warnings() as raised:
            failures = contextlib.nullcontext() if stage.everywhere else _failures_told()
            with failures, model.searching():
                searched = stage.attack.search(model.attacked, x, y, threat, seed=seed)
            outcome = judge(model.plain, index, x, y, searched, right, threat)
        return replace(outcome, checks=tuple(raised))

    def heard(images: int) -> None:
        meter.passed(images * size())  # the others of a group do as much

    started, recorded = time.perf_counter(), model.recording_seconds
    with (
        PassCounter(model.attacked, heard) as attacks,
        PassCounter(model.plain, heard) as verdicts,
    ):
        outcome = model.chunks.fit(attempt)
    capture = model.recording_seconds - recorded
    cost = Cost(
        seconds=time.perf_counter() - started - capture,
        capture_seconds=capture,
        forward_images=attacks.forward_images + verdicts.forward_images,
        backward_images=attacks.backward_images + verdicts.backward_images,
    )
    return replace(outcome, cost=cost)


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    """Turn what an attack raises into one line; where memory ran out, fewer images may fit."""
    try:
        yield
    except (Exception, SystemExit) as error:  # a stranger's attack may raise anything
        if is_out_of_memory(error):
            raise
        raise FailedAttack(reason(error)) from error


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generator as a model with noise of its own finds it, whatever came before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
