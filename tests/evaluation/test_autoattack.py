"""Our AutoAttack against the authors' own loop, and what it keeps beyond it."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch
from pyautoattack import AutoAttack
from torch import Tensor, nn

from regmix_bench.evaluation.accuracy import PassCounter
from regmix_bench.evaluation.autoattack import InChunks, run_autoattack
from regmix_bench.types import Scoring, ThreatModel

# 37 images in batches of 16: several, and an uneven last one.
SCORING = Scoring(autoattack_seed=3, autoattack_batch_size=16)
LINF = ThreatModel("Linf", "24/255")


def authors_run(model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel) -> tuple[Tensor, ...]:
    attack = AutoAttack(model, norm=threat.norm, eps=float(threat.epsilon), seed=3)
    tracer = sys.gettrace()
    try:
        with torch.random.fork_rng([]):
            return attack.run_standard_evaluation(x, y, batch_size=16)
    finally:
        sys.settrace(tracer)  # the authors' check of dynamic models ends any tracing


def test_equals_the_authors_loop_image_by_image(trained, quick_attacks, threat) -> None:
    model, x, y = trained(10)
    x_adv, y_adv = authors_run(model, x, y, threat)

    outcome = run_autoattack(model, x, y, threat, SCORING)

    clean = model(x).argmax(1) == y
    broken = torch.tensor([bool(name) for name in outcome.broken_by])
    assert torch.equal(clean & ~broken, y_adv == y)
    assert torch.equal(outcome.x_adv, x_adv)
    # The comparison is worth something only where images of every kind are among them.
    assert 5 < int(broken.sum()) < int(clean.sum()) - 3


def test_accuracy_after_each_attack_is_what_broken_by_says(trained, quick_attacks, threat) -> None:
    model, x, y = trained(10)
    heard: list[tuple[str, float]] = []

    outcome = run_autoattack(model, x, y, threat, SCORING, lambda *said: heard.append(said))

    left = int((model(x).argmax(1) == y).sum())
    fallen = Counter(outcome.broken_by)
    assert list(outcome.after_attack) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for name, accuracy in outcome.after_attack.items():
        left -= fallen[name]
        assert accuracy == left / len(y)
    assert heard == list(outcome.after_attack.items())
    broken = torch.tensor([bool(name) for name in outcome.broken_by])
    moved = (outcome.x_adv != x).flatten(1).any(1)
    assert torch.equal(moved, broken)
    assert (model(outcome.x_adv)[broken].argmax(1) != y[broken]).all()
    delta = (outcome.x_adv - x).flatten(1)
    order = float("inf") if threat.norm == "Linf" else 2
    assert delta.norm(order, dim=1).max() <= float(threat.epsilon) * (1 + 1e-5)
    assert outcome.x_adv.min() >= 0 and outcome.x_adv.max() <= 1


@pytest.mark.parametrize(
    ("classes", "names", "substitutions"),
    [
        (
            2,
            ["apgd-ce", "fab-t", "square"],
            ("1 target classes instead of 9", "5 restarts of apgd-ce instead of apgd-t"),
        ),
        (
            3,
            ["apgd-ce", "apgd-dlr", "fab-t", "square"],
            ("2 target classes instead of 9", "apgd-dlr instead of apgd-t"),
        ),
        (5, ["apgd-ce", "apgd-t", "fab-t", "square"], ("4 target classes instead of 9",)),
    ],
)
def test_few_classes_change_the_attacks_and_say_so(
    trained, quick_attacks, classes: int, names: list[str], substitutions: tuple[str, ...]
) -> None:
    model, x, y = trained(classes)

    outcome = run_autoattack(model, x, y, ThreatModel("Linf", "80/255"), SCORING)

    assert outcome.substitutions == substitutions
    assert list(outcome.after_attack) == names
    left = list(outcome.after_attack.values())
    assert left == sorted(left, reverse=True)
    assert any(outcome.broken_by)
    assert outcome.x_adv.isfinite().all()


class Softmax(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).softmax(1)


class Noisy(Softmax):
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + torch.randn(len(x), 1) * torch.arange(10.0)


class Flat(Softmax):
    """Gradients that are zero everywhere, as from a step function."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.detach()) + 0 * x.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("defence", "warning"),
    [(Softmax, "softmax-output"), (Noisy, "randomized-model"), (Flat, "zero-gradients")],
)
def test_warnings_are_recorded_for_the_model_that_raised_them(
    trained, quick_attacks, defence: type[Softmax], warning: str
) -> None:
    model, x, y = trained(10)

    x, y = x[:12], y[:12]
    with_warning = run_autoattack(defence(model).eval(), x, y, LINF, SCORING).checks
    without = run_autoattack(model, x, y, LINF, SCORING).checks

    assert warning in with_warning
    assert warning not in without


def test_warnings_are_recorded_where_logging_shows_errors_alone(trained, quick_attacks) -> None:
    model, x, y = trained(10)
    root, logger = logging.getLogger(), logging.getLogger("auto-attack")
    before = root.level, logger.level
    root.setLevel(logging.ERROR)
    try:
        checks = run_autoattack(Softmax(model).eval(), x[:4], y[:4], LINF, SCORING).checks
        assert "softmax-output" in checks
        assert (root.level, logger.level) == (logging.ERROR, before[1])
    finally:
        root.setLevel(before[0])


def test_the_callers_random_numbers_are_left_alone(trained, quick_attacks) -> None:
    model, x, y = trained(10)
    before = torch.get_rng_state()
    run_autoattack(model, x[:8], y[:8], LINF, SCORING)
    assert torch.equal(torch.get_rng_state(), before)


def test_any_layer_in_training_mode_is_an_error(trained) -> None:
    model, x, y = trained(10)
    layer = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    layer.train()
    try:
        with pytest.raises(RuntimeError, match="training mode"):
            run_autoattack(model, x, y, LINF, SCORING)
    finally:
        layer.eval()


def test_images_in_another_memory_layout_give_the_same_outcome(trained, quick_attacks) -> None:
    model, x, y = trained(10)
    permuted = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).transpose(2, 3)
    transposed = x.transpose(2, 3).contiguous()
    assert not permuted.is_contiguous()
    outcomes = [run_autoattack(model, z, y, LINF, SCORING) for z in (permuted, transposed)]
    assert outcomes[0].broken_by == outcomes[1].broken_by


def test_chunks_give_the_logits_and_gradients_of_the_whole(trained) -> None:
    model, x, y = trained(10)
    model = model.double()
    try:
        x = x.double()
        results = []
        for size in (None, 10):
            split = InChunks(model)
            split.size = size
            images = x.clone().requires_grad_()
            logits = split(images)
            loss = nn.functional.cross_entropy(logits, y, reduction="sum")
            results.append((logits.detach(), torch.autograd.grad(loss, images)[0]))
    finally:
        model.float()
    for whole, parts in zip(*results, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-12)


class OneByOne(nn.Module):
    """Logits that do not depend on the batch in a single bit; refuses gradients of too many."""

    def __init__(self, model: nn.Module, limit: int) -> None:
        super().__init__()
        self.model, self.limit = model, limit
        self.refused: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and len(x) > self.limit:
            self.refused.append(len(x))
            raise torch.OutOfMemoryError("out of memory")
        return torch.cat([self.model(image) for image in x.split(1)])


def test_out_of_memory_halves_the_chunk_and_keeps_the_outcome(trained, quick_attacks) -> None:
    model, x, y = trained(10)
    x, y, scoring = x[:8], y[:8], Scoring(autoattack_batch_size=8)
    roomy, tight = OneByOne(model, 8).eval(), OneByOne(model, 1).eval()

    expected = run_autoattack(roomy, x, y, LINF, scoring)
    outcome = run_autoattack(tight, x, y, LINF, scoring)

    assert len(tight.refused) >= 2 and roomy.refused == []
    assert all(later == size // 2 for size, later in pairwise(tight.refused))
    assert any(expected.broken_by)
    assert outcome.broken_by == expected.broken_by
    assert outcome.after_attack == expected.after_attack
    assert torch.equal(outcome.x_adv, expected.x_adv)


def test_a_device_too_small_for_one_image_is_an_error(trained, quick_attacks) -> None:
    model, x, y = trained(10)
    with pytest.raises(torch.OutOfMemoryError):
        run_autoattack(OneByOne(model, 0).eval(), x[:4], y[:4], LINF, SCORING)


def test_passes_are_counted_alike_however_they_are_split(trained) -> None:
    model, x, _ = trained(10)
    split = InChunks(model)
    split.size = 10
    with PassCounter(model) as passes:
        split(x.clone().requires_grad_()).sum().backward()
    assert (passes.forward_images, passes.backward_images) == (37, 37)
