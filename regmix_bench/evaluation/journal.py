"""What has been measured so far, on disk: a killed evaluation goes on where it stood.

An evaluation is a list of stages (the clean pass, PGD, and each attack of AutoAttack), and a stage
is a list of batches. Every finished batch is one file, written whole, that holds what was measured
of its images and the adversarial ones among them; nothing of it stays in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from regmix_bench.distributed.collectives import barrier, rank, size
from regmix_bench.errors import UserError
from regmix_bench.evaluation.attacked_model import Scored
from regmix_bench.models.predictions import PassCounter, margins
from regmix_bench.records.schema import Cost
from regmix_bench.system.files import atomic_write
from regmix_bench.types import NORMS


@dataclass(frozen=True)
class Part:
    """What one batch of one stage left, in main memory.

    Of B images: ``index`` (B,) int64 their positions among the images that are scored, ``pred``
    (B,) int64, ``margin`` (B,) the true logit minus the largest other one, ``norm`` (B,) float64 of
    the perturbation, ``broke`` (B,) bool whether an image that was right is now wrong; and
    ``images`` (M, C, H, W), the M that broke. ``checks`` are warnings that came up meanwhile.
    """

    index: Tensor
    pred: Tensor
    margin: Tensor
    norm: Tensor
    broke: Tensor
    images: Tensor
    checks: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)


@torch.no_grad()
def judge(
    model: nn.Module,
    index: Tensor,
    x: Tensor,
    y: Tensor,
    x_adv: Tensor,
    was_right: Tensor,
    norm: str,
) -> Part:
    """What ``model`` says of ``x_adv`` (B, C, H, W), made of images ``x`` with labels ``y`` (B,).

    Raises :class:`UserError` where a logit is not a finite number.
    """
    logits = model(x_adv)
    if not logits.isfinite().all():
        bad = int((~logits.isfinite()).any(1).sum())
        raise UserError(f"the model returns logits that are not finite for {bad} images")
    pred = logits.argmax(1)
    broke = was_right & (pred != y)
    return Part(
        index=index.cpu(),
        pred=pred.cpu(),
        margin=margins(logits, y).cpu(),
        norm=NORMS[norm].length(x_adv.double() - x.double()).cpu(),
        broke=broke.cpu(),
        images=x_adv[broke].cpu(),
    )


class DamagedPart(UserError):
    """A batch whose file was cut off or altered."""


class Journal:
    """The finished batches of one evaluation, in a folder of its own.

    ``binding`` says what they belong to: the weights, the data, the threat and the scoring. A file
    of anything else is refused by the name of what differs.
    """

    def __init__(self, directory: Path, binding: Mapping[str, object]) -> None:
        self.directory = directory
        self.binding = {name: str(value) for name, value in binding.items()}

    def step(self, stage: str, number: int, model: Scored, measure: Callable[[], Part]) -> Part:
        """The part of batch ``number`` of ``stage``: as written down, else measured and written."""
        path = self.directory / f"{stage}-{number:06}.safetensors"
        if path.exists():
            with contextlib.suppress(DamagedPart):  # it is measured again, to the same numbers
                return self._read(path)
        started = time.perf_counter()
        with PassCounter(model.attacked) as attacks, PassCounter(model.plain) as verdicts:
            part = model.chunks.fit(measure)
        cost = Cost(
            seconds=time.perf_counter() - started,
            forward_images=attacks.forward_images + verdicts.forward_images,
            backward_images=attacks.backward_images + verdicts.backward_images,
        )
        part = replace(part, cost=cost)
        about = {"binding": self.binding, "checks": part.checks, "cost": part.cost.model_dump()}
        tensors = {name: getattr(part, name).contiguous() for name in _TENSORS}
        about["sha256"] = _digest(tensors)
        with atomic_write(path) as stream:
            stream.write(safetensors.torch.save(tensors, {"journal": json.dumps(about)}))
        return part

    def parts(self, stage: str) -> Iterator[Part]:
        """The parts of a stage that are written down, in order, one at a time."""
        for path in sorted(self.directory.glob(f"{stage}-[0-9]*.safetensors")):
            yield self._read(path)

    def _read(self, path: Path) -> Part:
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["journal"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            binding = about["binding"]
            if about["sha256"] != _digest(tensors):
                raise ValueError("its SHA-256 differs")
            checks, cost = tuple(about["checks"]), Cost.model_validate(about["cost"])
        except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise DamagedPart(f"{path} is not a state of scoring: {reason}; remove it") from error
        for name in binding | self.binding:
            was, now = binding.get(name), self.binding.get(name)
            if was != now:
                raise UserError(
                    f"{path} belongs to another evaluation: its {name} is {was}, not {now};"
                    f" remove {self.directory} to start again"
                )
        return Part(**tensors, checks=checks, cost=cost)


_TENSORS = ("index", "pred", "margin", "norm", "broke", "images")


def _digest(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(tensors)).hexdigest()


class Trace:
    """What one stage did to each of N images; it does not hold the images themselves.

    ``ran`` (N,) bool, and where it ran the columns of :class:`Part` of the same names.
    """

    def __init__(self, n: int) -> None:
        self.ran = torch.zeros(n, dtype=torch.bool)
        self.pred = torch.full((n,), -1)
        self.margin = torch.full((n,), torch.nan)
        self.norm = torch.full((n,), torch.nan, dtype=torch.float64)
        self.broke = torch.zeros(n, dtype=torch.bool)
        self.checks: dict[str, None] = {}
        self.cost = Cost()

    def add(self, part: Part, expected: Tensor) -> None:
        """Take over a part, which must be of the ``expected`` images."""
        if not torch.equal(part.index, expected.cpu()):
            raise UserError("the state of scoring holds other images than are scored: remove it")
        self.ran[part.index] = True
        for name in ("pred", "margin", "norm", "broke"):
            getattr(self, name)[part.index] = getattr(part, name).to(getattr(self, name).dtype)
        self.checks |= dict.fromkeys(part.checks)
        self.cost += part.cost


def run_stage(
    journal: Journal,
    name: str,
    model: Scored,
    batches: Sequence[Tensor],
    measure: Callable[[int, Tensor], Part],
    n: int,
) -> Trace:
    """Measure a stage on ``n`` images; ``measure`` gets each batch's number and positions (B,).

    In a group each process measures its batches, and then reads those of all.
    """

    def step(number: int) -> Part:
        return journal.step(name, number, model, partial(measure, number, batches[number]))

    if size() > 1:
        for number in range(rank(), len(batches), size()):
            step(number)
        barrier()
    trace = Trace(n)
    for number, index in enumerate(batches):
        trace.add(step(number), expected=index)
    return trace
