"""Validation: what it measures, in which arithmetic, and that recordings of it change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks.white_box import FGSM, PGD
from regmix_bench.models import build_model
from regmix_bench.models.predictions import correct
from regmix_bench.replay.protocol import Recording, T
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.system.machine import Execution, Precision
from regmix_bench.training.validation import Validation
from regmix_bench.types import ThreatModel

THREAT = ThreatModel("Linf", "16/255")


def model_of(seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model("smallcnn", (1, 8, 8), 10)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        return model.eval()


def held_out(n: int) -> tuple[Tensor, Tensor]:
    """Return images, and the labels that a model of seed 0 gives them, some of which are wrong."""
    images = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(n))
    with torch.no_grad():
        labels = model_of(0)(images).argmax(1)
    labels[::7] = (labels[::7] + 1) % 10
    return images, labels


class CountingRecorder(TapeRecorder):
    def __init__(self) -> None:
        self.recorded = 0

    def record(
        self, work: Callable[[], T], generators: Sequence[torch.Generator] = ()
    ) -> Recording[T]:
        self.recorded += 1
        return super().record(work, generators)


@pytest.mark.parametrize("n", [60, 530])
def test_it_measures_the_model_of_each_epoch_replayed_or_not(n: int) -> None:
    images, labels = held_out(n)
    recorder, said = CountingRecorder(), list[str]()
    plain = Validation(model_of(9), images, labels, THREAT, Execution())
    replayed = Validation(
        model_of(9),
        *(images, labels, THREAT, Execution(graphs=True)),
        recorder=recorder,
        say=said.append,
    )
    found = [[v.measure(model_of(seed)) for seed in (0, 1, 0)] for v in (plain, replayed)]
    assert found[0] == found[1] and said == []
    assert recorder.recorded >= 2  # a way there and a way back
    assert replayed.capture_seconds == recorder.seconds > 0 == plain.capture_seconds
    first, second, again = found[0]
    assert first == again != second
    assert first.clean == pytest.approx(6 / 7, abs=0.01) and 0 < first.pgd < first.fgsm < 1

    model = model_of(0)
    clean = correct(model, images, labels)
    for attack, share in ((FGSM(), first.fgsm), (PGD.of(steps=10), first.pgd)):
        held = clean & correct(model, attack.perturb(model, images, labels, THREAT), labels)
        assert held.sum().item() / n == pytest.approx(share, abs=2 / n)  # folding rounds


def test_the_start_of_pgd_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    validation = Validation(model_of(0), *held_out(30), THREAT, Execution())
    before = validation.measure(model_of(0))
    monkeypatch.delattr(PGD, "start")
    assert validation.measure(model_of(0)) == before


class Looking(nn.Module):
    """A linear model that notes the arithmetic in which it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.seen: set[tuple[torch.dtype, bool, bool]] = set()

    def __deepcopy__(self, memo: object) -> Looking:
        return self

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        self.seen.add((logits.dtype, *tf32))
        return logits


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("fp32", (torch.float32, False, False)),
        ("tf32", (torch.float32, True, True)),
        ("bf16", (torch.bfloat16, False, False)),
    ],
)
def test_precision_is_that_of_all_passes_and_of_nothing_else(
    precision: Precision, expected: tuple[torch.dtype, bool, bool]
) -> None:
    def allowed() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    model, before = Looking(), allowed()
    Validation(
        model, *held_out(20), THREAT, Execution(), precision=precision, recorder=TapeRecorder()
    ).measure(model)
    assert model.seen == {expected}
    assert allowed() == before
