"""Our AutoAttack against the authors' own loop, and what it keeps beyond it."""

from __future__ import annotations

import itertools
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from pyautoattack import AutoAttack, checks
from torch import Tensor, nn

from regmix_bench.data import EvalData
from regmix_bench.evaluation.attacked_model import AttackedModel
from regmix_bench.evaluation.evaluate import evaluate_threat
from regmix_bench.evaluation.journal import Journal
from regmix_bench.models.chunks import ChunkedModel, Chunks
from regmix_bench.models.predictions import PassCounter
from regmix_bench.records.outcomes import held
from regmix_bench.records.schema import CHECKS, RobustEval
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

# 37 images in batches of 16: several, and an uneven last one.
SCORING = Scoring(autoattack_seed=3, autoattack_batch_size=16)
LINF = ThreatModel("Linf", "24/255")


def authors_run(
    model: nn.Module, x: Tensor, y: Tensor, threat: ThreatModel, **version: Any
) -> tuple[Tensor, ...]:
    attack = AutoAttack(model, norm=threat.norm, eps=float(threat.epsilon), seed=3, **version)
    tracer = sys.gettrace()
    try:
        with torch.random.fork_rng([]):
            return attack.run_standard_evaluation(x, y, batch_size=16)
    finally:
        sys.settrace(tracer)  # the authors' check of dynamic models ends any tracing


@dataclass
class Attacked:
    """What our loop leaves, the images put together again."""

    result: RobustEval
    table: pd.DataFrame
    x_adv: Tensor

    @property
    def broken_by(self) -> list[str]:
        return self.table["broken_by"].tolist()

    @property
    def broken(self) -> Tensor:
        return torch.tensor([bool(name) for name in self.broken_by])

    @property
    def robust(self) -> Tensor:
        return torch.tensor(held(self.table).tolist())


Attack = Callable[..., Attacked]


@pytest.fixture
def attack(tmp_path: Path) -> Attack:
    """Runs our AutoAttack, each time in a journal of its own."""
    numbers = itertools.count()

    def run(
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel = LINF,
        scoring: Scoring = SCORING,
        on_attack: Callable[[str, float], None] = lambda *said: None,
    ) -> Attacked:
        journal = Journal(tmp_path / str(next(numbers)), {})
        test = EvalData(x, y, torch.arange(len(y)), "d" * 64, 10)
        result, table, _ = evaluate_threat(
            AttackedModel(model), test, threat, scoring, "given", journal, on_attack=on_attack
        )
        x_adv = x.clone()
        for name in result.after_attack:
            for batch in journal.batches(name):
                broken = batch.index[batch.broke]
                assert (table["broken_by"].iloc[broken.tolist()] == name).all()
                x_adv[broken] = batch.images
        return Attacked(result, table, x_adv)

    return run


@pytest.mark.parametrize(
    ("version", "attacks"),
    [
        ("standard", ()),
        ("plus", ()),
        ("rand", ()),
        ("custom", ("apgd-ce", "square")),
        ("custom", ("fab-t", "fab", "apgd-dlr")),
    ],
)
def test_equals_the_authors_loop_image_by_image(
    trained, quick_attacks, attack, threat, version, attacks
) -> None:
    model, x, y = trained(10)
    named = {"attacks": list(attacks)} if attacks else {}
    x_adv, y_adv = authors_run(model, x, y, threat, version=version, **named)

    scoring = Scoring(
        autoattack_version=version, attacks=attacks, autoattack_seed=3, autoattack_batch_size=16
    )
    ours = attack(model, x, y, threat, scoring)

    clean = model(x).argmax(1) == y
    assert torch.equal(ours.robust, y_adv == y)
    assert torch.equal(clean & ~ours.broken, y_adv == y)
    # Under L1 theirs may be 1 and a bit.
    assert torch.equal(ours.x_adv, x_adv.clamp(0, 1))
    assert x_adv.max() < 1 + 1e-6 and x_adv.min() > -1e-6
    # The comparison is worth something only where images of every kind are among them.
    assert 3 < int(ours.broken.sum()) < int(clean.sum()) - 3


def test_accuracy_after_each_attack_is_what_broke(trained, quick_attacks, attack, threat) -> None:
    model, x, y = trained(10)
    heard: list[tuple[str, float]] = []

    ours = attack(model, x, y, threat, on_attack=lambda *said: heard.append(said))

    left = int((model(x).argmax(1) == y).sum())
    fallen = Counter(ours.broken_by)
    after_attack = ours.result.after_attack
    assert list(after_attack) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for name, accuracy in after_attack.items():
        left -= fallen[name]
        assert accuracy == left / len(y)
    assert heard == list(after_attack.items())
    moved = (ours.x_adv != x).flatten(1).any(1)
    assert torch.equal(moved, ours.broken)
    assert (model(ours.x_adv)[ours.broken].argmax(1) != y[ours.broken]).all()
    delta = (ours.x_adv - x).flatten(1)
    order = {"Linf": float("inf"), "L2": 2, "L1": 1}[threat.norm]
    assert delta.norm(order, dim=1).max() <= float(threat.epsilon) * (1 + 1e-5)
    assert ours.x_adv.min() >= 0 and ours.x_adv.max() <= 1


RESTARTS = "5 restarts of apgd-ce instead of "


@pytest.mark.parametrize(
    ("classes", "version", "names", "substitutions"),
    [
        (
            2,
            "standard",
            ["apgd-ce", "fab-t", "square"],
            ("1 target classes instead of 9", f"{RESTARTS}apgd-t"),
        ),
        (2, "rand", ["apgd-ce"], (f"{RESTARTS}apgd-dlr",)),
        (
            3,
            "standard",
            ["apgd-ce", "apgd-dlr", "fab-t", "square"],
            ("2 target classes instead of 9", "apgd-dlr instead of apgd-t"),
        ),
        (
            3,
            "plus",
            ["apgd-ce", "apgd-dlr", "fab", "square", "fab-t"],
            ("2 target classes instead of 9", "apgd-dlr instead of apgd-t"),
        ),
        (
            5,
            "standard",
            ["apgd-ce", "apgd-t", "fab-t", "square"],
            ("4 target classes instead of 9",),
        ),
    ],
)
def test_few_classes_change_the_attacks_and_say_so(
    trained, quick_attacks, attack, classes, version, names, substitutions
) -> None:
    model, x, y = trained(classes)

    scoring = Scoring(autoattack_version=version, autoattack_batch_size=16)
    outcome = attack(model, x, y, ThreatModel("Linf", "80/255"), scoring)

    assert outcome.result.substitutions == substitutions
    assert "too-few-classes" in outcome.result.checks
    assert list(outcome.result.after_attack) == names
    left = list(outcome.result.after_attack.values())
    assert left == sorted(left, reverse=True)
    assert outcome.broken.any()


class Softmax(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).softmax(1)


class Noisy(Softmax):
    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + torch.randn(len(x), 1) * torch.arange(10.0)


class Drifting(Softmax):
    """Logits that grow from call to call: their direction stays."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.model(x) * (1 + 0.01 * self.calls)


class Flat(Softmax):
    """Gradients that are zero everywhere, as from a step function."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.detach()) + 0 * x.sum((1, 2, 3))[:, None]


class Dynamic(Softmax):
    """Moves its input by a gradient of its own before it answers."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            z = x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.model(z).max(1).values.sum(), z)
        return self.model(x + 0.01 * gradient.sign())


@pytest.mark.parametrize(
    ("defence", "warning"),
    [
        (Softmax, "softmax-output"),
        (Noisy, "randomized-model"),
        (Drifting, "randomized-model"),
        (Flat, "zero-gradients"),
        (Dynamic, "dynamic-model"),
    ],
)
def test_warnings_are_recorded_for_the_model_that_raised_them(
    trained, quick_attacks, attack, defence: type[Softmax], warning: str
) -> None:
    model, x, y = trained(10)

    x, y = x[:12], y[:12]
    with_warning = attack(defence(model).eval(), x, y).result.checks
    without = attack(model, x, y).result.checks

    assert warning in with_warning
    assert warning in CHECKS
    assert warning not in without


def test_the_check_of_dynamic_models_leaves_no_trace(trained, quick_attacks, attack) -> None:
    model, x, y = trained(10)
    counts = dict(checks.funcs)

    def tracer(*event: object) -> None:
        return None

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        attack(Dynamic(model).eval(), x[:4], y[:4])
        assert sys.gettrace() is tracer
    finally:
        sys.settrace(before)
    assert checks.funcs == counts


def test_warnings_are_recorded_where_logging_shows_errors_alone(
    trained, quick_attacks, attack
) -> None:
    model, x, y = trained(10)
    root, logger = logging.getLogger(), logging.getLogger("auto-attack")
    before = root.level, logger.level
    root.setLevel(logging.ERROR)
    try:
        checks = attack(Softmax(model).eval(), x[:4], y[:4]).result.checks
        assert "softmax-output" in checks
        assert (root.level, logger.level) == (logging.ERROR, before[1])
    finally:
        root.setLevel(before[0])


def test_the_callers_random_numbers_are_left_alone(trained, quick_attacks, attack) -> None:
    model, x, y = trained(10)
    before = torch.get_rng_state()
    attack(model, x[:8], y[:8])
    assert torch.equal(torch.get_rng_state(), before)


def test_any_layer_in_training_mode_is_an_error(trained, attack) -> None:
    model, x, y = trained(10)
    layer = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    layer.train()
    try:
        with pytest.raises(RuntimeError, match="training mode"):
            attack(model, x, y)
    finally:
        layer.eval()


def test_images_in_another_memory_layout_give_the_same_outcome(
    trained, quick_attacks, attack
) -> None:
    model, x, y = trained(10)
    permuted = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).transpose(2, 3)
    transposed = x.transpose(2, 3).contiguous()
    assert not permuted.is_contiguous()
    outcomes = [attack(model, z, y) for z in (permuted, transposed)]
    assert outcomes[0].broken_by == outcomes[1].broken_by


def test_chunks_give_the_logits_and_gradients_of_the_whole(trained) -> None:
    model, x, y = trained(10)
    model = model.double()
    try:
        x = x.double()
        results = []
        for size in (None, 10):
            split = ChunkedModel(model, Chunks())
            split.chunks.size = size
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


def test_out_of_memory_halves_the_chunk_and_keeps_the_outcome(
    trained, quick_attacks, attack
) -> None:
    model, x, y = trained(10)
    x, y, scoring = x[:8], y[:8], Scoring(autoattack_batch_size=8)
    roomy, tight = OneByOne(model, 8).eval(), OneByOne(model, 1).eval()

    expected = attack(roomy, x, y, scoring=scoring)
    outcome = attack(tight, x, y, scoring=scoring)

    assert len(tight.refused) >= 2 and roomy.refused == []
    assert all(later == size // 2 for size, later in pairwise(tight.refused))
    assert any(expected.broken_by)
    assert outcome.broken_by == expected.broken_by
    assert outcome.result.after_attack == expected.result.after_attack
    assert torch.equal(outcome.x_adv, expected.x_adv)


def test_a_device_too_small_for_one_image_is_an_error(trained, quick_attacks, attack) -> None:
    model, x, y = trained(10)
    with pytest.raises(torch.OutOfMemoryError):
        attack(OneByOne(model, 0).eval(), x[:4], y[:4])


def test_passes_are_counted_alike_however_they_are_split(trained) -> None:
    model, x, _ = trained(10)
    split = ChunkedModel(model, Chunks())
    split.chunks.size = 10
    with PassCounter(split) as passes:
        split(x.clone().requires_grad_()).sum().backward()
    assert (passes.forward_images, passes.backward_images) == (37, 37)


def test_a_model_that_is_broken_whole_ends_the_attacks(trained, quick_attacks, attack) -> None:
    """No later attack sees a batch of no images, which many a model cannot reshape."""
    model, x, y = trained(10)

    class Viewing(Softmax):
        def forward(self, x: Tensor) -> Tensor:
            return self.model(x.reshape(len(x), -1).view(x.shape))

    ours = attack(Viewing(model).eval(), x[:6], y[:6], ThreatModel("Linf", "255/255"))
    assert ours.result.after_attack["square"] == 0
    assert ours.table["square_broke"].isna().all()
