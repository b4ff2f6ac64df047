"""What every registered method keeps to, whoever wrote it.

The methods are those of the registry, so an installed package's are checked too.
"""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.data import prepare
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import NORMS, Batch, StepOutput, ThreatModel

SHAPE = (1, 8, 8)
SIZE = 24
CPU = torch.device("cpu")

every_method = pytest.mark.parametrize("name", METHODS.names())
both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def norms_of(method: type[Method]) -> tuple[str, ...]:
    return method.norms or ("Linf", "L2")


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("smallcnn", SHAPE, 10).to(dtype).train()


def batches(dtype: torch.dtype = torch.float32) -> list[Batch]:
    """Two batches of unequal size, black and white pixels among them."""
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(SIZE, *SHAPE, generator=generator) * 1.4 - 0.2).clamp(0, 1).to(dtype)
    y = torch.randint(10, (SIZE,), generator=generator)
    order = torch.randperm(SIZE, generator=generator)
    return [Batch(x[index], y[index], index) for index in order.split([16, 8])]


def ready(name: str) -> Method:
    method = load_method(name)
    method.setup(SIZE, SHAPE, CPU)
    return method


def epoch(
    method: Method, model: nn.Module, number: int, norm: str, dtype: torch.dtype = torch.float32
) -> list[StepOutput]:
    """One epoch of plain gradient descent, as the trainer calls a method."""
    method.on_epoch_start(number)
    generator = torch.Generator().manual_seed(number)
    outputs = []
    for batch in batches(dtype):
        output = method.step(model, batch, ThreatModel(norm, "8/255"), generator)
        model.zero_grad()
        output.loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        method.after_update(model)
        outputs.append(output)
    return outputs


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@both_dtypes
@every_method
def test_the_loss_is_a_finite_scalar_that_reaches_every_weight(name, dtype) -> None:
    for norm in norms_of(METHODS[name]):
        model, method = network(dtype), ready(name)
        method.on_epoch_start(1)
        for batch in batches(dtype):
            before = batch.x.clone()
            output = method.step(
                model, batch, ThreatModel(norm, "8/255"), torch.Generator().manual_seed(0)
            )
            assert output.loss.shape == ()
            assert output.loss.dtype == dtype
            assert output.loss.isfinite()
            assert all(p.grad is None for p in model.parameters()), "the attack left gradients"
            gradients = torch.autograd.grad(output.loss, list(model.parameters()))
            assert all(g.isfinite().all() for g in gradients)
            assert all(g.any() for g in gradients)
            assert model.training
            assert torch.equal(batch.x, before), "the images were changed in place"
            for value in output.metrics.values():
                assert value.shape == ()
                assert not value.requires_grad


@both_dtypes
@every_method
def test_adversarial_images_stay_inside_the_threat_model(name, dtype) -> None:
    for norm in norms_of(METHODS[name]):
        threat = ThreatModel(norm, "8/255")
        model, method = network(dtype), ready(name)
        for number in (1, 2):
            outputs = epoch(method, model, number, norm, dtype)
            for output, batch in zip(outputs, batches(dtype), strict=True):
                assert output.x_adv.dtype == dtype
                assert output.x_adv.shape == batch.x.shape
                assert not output.x_adv.requires_grad
                assert ((output.x_adv >= 0) & (output.x_adv <= 1)).all()
                moved = (output.x_adv.double() - batch.x.double()).flatten(1)
                length = moved.abs().amax(1) if norm == "Linf" else moved.norm(dim=1)
                # ε as a number of this dtype, and x + δ rounded to it: half a unit in the last
                # place of a pixel below 1 for each coordinate, √d times that in length.
                rounding = torch.finfo(dtype).eps
                limit = torch.tensor(float(threat.epsilon), dtype=dtype).item()
                coordinates = 1 if norm == "Linf" else moved.shape[1] ** 0.5
                assert (length <= limit * (1 + 8 * rounding) + coordinates * rounding / 2).all()


@every_method
def test_the_same_seed_gives_the_same_numbers(name: str) -> None:
    for norm in norms_of(METHODS[name]):
        runs = []
        for noise in (1, 2):
            torch.manual_seed(noise)  # the global generator must play no part
            model = network()
            outputs = epoch(ready(name), model, 1, norm)
            runs.append((outputs, weights(model)))
        (first, after_first), (second, after_second) = runs
        for one, other in zip(first, second, strict=True):
            assert torch.equal(one.loss, other.loss)
            assert torch.equal(one.x_adv, other.x_adv)
        assert_same(after_first, after_second)


@every_method
def test_saved_state_continues_as_if_never_stopped(name: str) -> None:
    model, method = network(), ready(name)
    norm = norms_of(type(method))[0]
    epoch(method, model, 1, norm)
    epoch(method, model, 2, norm)
    buffer = io.BytesIO()
    torch.save({"method": method.state_dict(), "model": model.state_dict()}, buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)

    resumed_model, resumed = network(), ready(name)
    resumed_model.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["method"])
    going_on = epoch(method, model, 3, norm)
    afresh = epoch(resumed, resumed_model, 3, norm)
    for one, other in zip(going_on, afresh, strict=True):
        assert torch.equal(one.loss, other.loss)
        assert torch.equal(one.x_adv, other.x_adv)
    assert_same(weights(model), weights(resumed_model))
    assert_same(
        weights(method.evaluated_model(model)), weights(resumed.evaluated_model(resumed_model))
    )


@every_method
def test_the_model_to_score_has_the_same_weights_by_name(name: str) -> None:
    model, method = network(), ready(name)
    epoch(method, model, 1, norms_of(type(method))[0])
    before = weights(model)
    scored = method.evaluated_model(model)
    assert scored.state_dict().keys() == model.state_dict().keys()
    assert_same(before, weights(model))
    assert (scored is not model) == method.averages_weights


@every_method
def test_hyper_parameters_are_named_validated_and_written_down(name: str) -> None:
    config = load_method(name).config
    assert load_method(name, **config.model_dump(mode="json")).config == config
    with pytest.raises(UserError, match="no_such_key") as error:
        load_method(name, no_such_key=1)
    assert "\n" not in str(error.value)
    for key in METHODS[name].Config.model_fields:
        with pytest.raises(UserError, match=key):
            load_method(name, **{key: "no such value"})


@every_method
def test_only_its_own_norms_are_planned(name: str) -> None:
    grid = {"methods": [name], "eps": ["8/255"]}
    for norm in NORMS.names():
        if norm in norms_of(METHODS[name]):
            (spec,) = plan([{**grid, "norm": norm}])
            assert spec.train_threat.norm == norm
        else:
            with pytest.raises(UserError, match=norm) as error:
                plan([{**grid, "norm": norm}])
            assert "\n" not in str(error.value)


@every_method
def test_the_name_is_the_one_it_is_found_by(name: str) -> None:
    assert METHODS[name].name == name
    assert isinstance(METHODS[name].version, int)
    assert (METHODS[name].__doc__ or "").strip(), "the docstring is what `list methods` shows"


@pytest.fixture(scope="module")
def digits() -> Any:
    return prepare(specification(METHODS.names()[0]), CPU)


def specification(name: str) -> RunSpec:
    recipe = {"epochs": 6, "batch_size": 32}
    norm = norms_of(METHODS[name])[0]
    grid = {"methods": [name], "eps": ["8/255"], "norm": norm, "train_examples": 300}
    return plan([{**grid, "recipe": recipe}])[0]


@every_method
def test_it_learns_digits(name: str, digits: Any, tmp_path: Path) -> None:
    """A tenth is chance; a few hundred images and six epochs bring a method far above the floor."""
    spec = specification(name)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = build_model(spec.arch, digits.test.image_shape, digits.test.num_classes)
    untrained = copy.deepcopy(model)
    trainer = Trainer(spec, digits, model, load_method(name), tmp_path, CPU, Execution())
    trainer.run()
    assert trainer.progress.failure is None
    last = trainer.progress.history[-1]
    print(f"{name}: clean {last.val_clean_acc:.3f} PGD-10 {last.val_pgd_acc:.3f}")
    assert last.val_clean_acc > 0.5
    assert last.val_pgd_acc > 0.35
    assert not torch.equal(untrained.classifier.weight, model.classifier.weight)
