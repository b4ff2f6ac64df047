"""An attack that fails costs its own score alone, and is tried again alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.attacks import ATTACKS
from regmix_bench.attacks.protocol import Attack
from regmix_bench.attacks.white_box import FGSM
from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

LINF = ThreatModel("Linf", "12/255")


class Faulty(Attack):
    """FGSM, until ``fault`` is asked what it makes of a batch."""

    name = "faulty"
    fault: Callable[[Tensor], Tensor] | None = None
    calls = 0

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        type(self).calls += 1
        found = FGSM().perturb(model, x, y, threat, seed=seed)
        return found if Faulty.fault is None else Faulty.fault(found)


class Counted(Faulty):
    """FGSM, counted."""

    name = "counted"

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, *, seed: int
    ) -> Tensor:
        type(self).calls += 1
        return x


@pytest.fixture(autouse=True)
def attacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ATTACKS, "registered", {"faulty": Faulty, "counted": Counted})
    monkeypatch.setattr(Faulty, "fault", None)
    monkeypatch.setattr(Faulty, "calls", 0)
    monkeypatch.setattr(Counted, "calls", 0)


@pytest.fixture
def test_set(trained) -> EvalData:
    _, x, y = trained(10)
    return EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)


def raises(error: BaseException) -> Callable[[Tensor], Tensor]:
    def fault(images: Tensor) -> Tensor:
        raise error

    return fault


def raises_on_the_last(images: Tensor) -> Tensor:
    if len(images) < 10:
        raise IndexError("one\nimage too few")
    return images


def score(model: nn.Module, test: EvalData, journal: Journal | None = None, *attacks: str, **more):
    scoring = Scoring(
        autoattack_version="custom",
        attacks=attacks or ("faulty", "counted", "fgsm"),
        autoattack_batch_size=10,
        **more,
    )
    return evaluate_threat(AttackedModel(model), test, LINF, scoring, "given", journal)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (raises(ValueError("no\nluck")), "ValueError: no luck"),
        (raises(SystemExit(3)), "SystemExit: 3"),
        (raises_on_the_last, "IndexError: one image too few"),
        (lambda images: images[1:], "the attack returns images of shape"),
        (lambda images: images.double(), "the attack returns images of dtype torch.float64"),
        (lambda images: images.to("meta"), "the attack returns images of device meta, not cpu"),
        (lambda images: None, "the attack returns NoneType, not images"),
        (lambda images: 1 - images, "the attack leaves the threat model"),
    ],
)
@pytest.mark.parametrize("screen", [False, True])
def test_the_scores_of_the_others_stand(
    trained, test_set, monkeypatch, fault: Callable, said: str, screen: bool
) -> None:
    model, _, _ = trained(10)
    expected, flags, _ = score(model, test_set, None, "counted", "fgsm", screen=screen)
    monkeypatch.setattr(Faulty, "fault", staticmethod(fault))
    result, table, _ = score(model, test_set, screen=screen)
    assert result.failed_attacks.keys() == {"faulty"}
    assert result.failed_attacks["faulty"].startswith(said)
    assert result.robust_acc is None and "failed-attack" in result.checks
    assert result.after_attack == expected.after_attack
    assert (result.clean_acc, result.pgd_acc) == (expected.clean_acc, expected.pgd_acc)
    assert table.equals(flags)  # with no column of the attack that failed
    assert expected.failed_attacks == {} and "failed-attack" not in expected.checks


def test_memory_that_ran_out_is_no_fault_of_the_attack(trained, test_set, monkeypatch) -> None:
    model, _, _ = trained(10)
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")):
        monkeypatch.setattr(Faulty, "fault", staticmethod(raises(error)))
        with pytest.raises(type(error)):
            score(model, test_set)
    for error in (KeyboardInterrupt(), torch.OutOfMemoryError("CUDA out of memory")):
        monkeypatch.setattr(Faulty, "fault", staticmethod(raises(error)))
        with pytest.raises(type(error)):
            score(model, test_set)


@pytest.mark.parametrize("fault", [raises(ValueError("no luck")), raises_on_the_last])
def test_it_alone_is_tried_again(trained, test_set, journal, monkeypatch, fault: Callable) -> None:
    model, _, _ = trained(10)
    monkeypatch.setattr(Faulty, "fault", staticmethod(fault))
    score(model, test_set, journal)
    before, tried = Counted.calls, Faulty.calls
    assert score(model, test_set, journal)[0].failed_attacks.keys() == {"faulty"}
    assert Counted.calls == before and Faulty.calls == tried + 1  # what it did is written down


def test_what_an_attack_breaks_in_a_later_try_the_others_are_spared(
    trained, test_set, journal, tmp_path, monkeypatch
) -> None:
    """The numbers and files are those of a scoring in which nothing ever failed."""
    model, _, _ = trained(10)
    whole = Journal(tmp_path / "whole", journal.binding)
    expected, table, _ = score(model, test_set, whole)
    assert 0 < expected.after_attack["faulty"] < expected.clean_acc
    monkeypatch.setattr(Faulty, "fault", staticmethod(raises_on_the_last))
    score(model, test_set, journal)
    monkeypatch.setattr(Faulty, "fault", None)
    result, again, _ = score(model, test_set, journal)
    assert result == expected and again.equals(table)
    names = {path.name for path in whole.directory.iterdir()}
    assert {path.name for path in journal.directory.iterdir()} == names
