"""The contract of training methods."""

from __future__ import annotations

import io
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from regmix_bench.data.run_data import prepare
from regmix_bench.grid.plan import plan
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.testing.contract import (
    Rule,
    Subject,
    it_says_what_it_is,
    its_norms_are_known,
    norms_of,
    parameters_are_named_validated_and_written_down,
    require,
)
from regmix_bench.testing.recorded import compare_recorded
from regmix_bench.testing.samples import images, inside, labels, same, state_of
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import Batch, Epsilon, StepOutput, ThreatModel

SHAPE = (1, 8, 8)
SIZE = 24
CPU = torch.device("cpu")
#: A tenth is chance; a few hundred digits and six epochs bring a method far above these.
CLEAN_FLOOR, PGD_FLOOR = 0.5, 0.35


def the_loss_is_a_finite_scalar_that_reaches_every_weight(subject: Subject) -> None:
    """Differentiate one step's loss, in both floating-point types and under each norm."""
    for norm, dtype in _cases(subject):
        model, method = _network(dtype), _ready(subject)
        method.on_epoch_start(1)
        for batch in _batches(dtype):
            output = _step(method, model, batch, norm)
            loss = output.loss
            require(loss.shape == (), f"it has the shape {tuple(loss.shape)}")
            require(loss.dtype == dtype, f"it is {loss.dtype} of images in {dtype}")
            require(bool(loss.isfinite()), f"it is {loss.item()}")
            require(loss.requires_grad, "no gradient flows through it")
            gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
            for (name, _), gradient in zip(model.named_parameters(), gradients, strict=True):
                reached = gradient is not None and bool(gradient.any())
                require(reached, f"no gradient reaches {name}")
                require(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")


def adversarial_images_stay_inside_the_threat_model(subject: Subject) -> None:
    """Measure what two epochs trained on, in both floating-point types and under each norm.

    Inside is what ``largest_perturbation`` and ``clips_pixels`` say of them.
    """
    for norm, dtype in _cases(subject):
        model, method = _network(dtype), _ready(subject)
        for number in (1, 2):
            outputs = _epoch(method, model, number, norm, dtype)
            for output, batch in zip(outputs, _batches(dtype), strict=True):
                reach, pixels = method.largest_perturbation, method.clips_pixels
                inside(output.x_adv, batch.x, _threat(norm), reach, pixels)


def it_leaves_the_batch_and_the_model_as_they_were(subject: Subject) -> None:
    """Look at images, modes, gradients and weights after one step."""
    for norm in norms_of(subject):
        model, method = _network(), _ready(subject)
        method.on_epoch_start(1)
        (batch, _), weights = _batches(), state_of(model, buffers=False)
        x, y = batch.x.clone(), batch.y.clone()
        output = _step(method, model, batch, norm)
        require(torch.equal(batch.x, x), "the images were changed in place")
        require(torch.equal(batch.y, y), "the labels were changed in place")
        require(all(module.training for module in model.modules()), "a layer is left in eval mode")
        require(all(p.grad is None for p in model.parameters()), "gradients are left on weights")
        require(all(p.requires_grad for p in model.parameters()), "a weight is left frozen")
        same(state_of(model, buffers=False), weights, "the weights after a step")
        for name, value in output.metrics.items():
            scalar = isinstance(value, Tensor) and value.shape == () and not value.requires_grad
            require(scalar, f"metric {name!r} is no detached scalar")


def a_seed_fixes_the_result(subject: Subject) -> None:
    """Train twice with the generator that the trainer gives."""
    for norm in norms_of(subject):
        _same_training(subject, norm, global_seeds=(1, 1))


def the_global_generator_plays_no_part(subject: Subject) -> None:
    """Train twice from two states of torch's global generator, and look whether it was drawn on."""
    for norm in norms_of(subject):
        _same_training(subject, norm, global_seeds=(1, 2))
    model, method = _network(), _ready(subject)
    before = torch.get_rng_state()
    _epoch(method, model, 1, norms_of(subject)[0])
    require(torch.equal(torch.get_rng_state(), before), "numbers were drawn from it")


def a_saved_state_continues_as_if_never_stopped(subject: Subject) -> None:
    """Save after two epochs, and compare the third of the method that went on and of a new one."""
    norm = norms_of(subject)[0]
    model, method = _network(), _ready(subject)
    for number in (1, 2):
        _epoch(method, model, number, norm)
    buffer = io.BytesIO()
    torch.save({"method": method.state_dict(), "model": model.state_dict()}, buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    resumed_model, resumed = _network(), _ready(subject)
    resumed_model.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["method"])
    going_on = _epoch(method, model, 3, norm)
    afresh = _epoch(resumed, resumed_model, 3, norm)
    _same_outputs(going_on, afresh, "resumed")
    same(state_of(model), state_of(resumed_model), "resumed, the model")
    mine, other = method.evaluated_model(model), resumed.evaluated_model(resumed_model)
    same(state_of(mine), state_of(other), "resumed, the model to score")


def the_model_to_score_has_the_same_weights_by_name(subject: Subject) -> None:
    """Hold ``evaluated_model`` to what ``averages_weights`` says."""
    model, method = _network(), _ready(subject)
    _epoch(method, model, 1, norms_of(subject)[0])
    before = state_of(model)
    scored = method.evaluated_model(model)
    require(scored.state_dict().keys() == before.keys(), "its weights have other names")
    same(state_of(model), before, "asked for the model to score, the one that is trained")
    averaged, said = scored is not model, subject.cls.averages_weights
    require(averaged == said, f"averages_weights is {said}, and another model is {averaged}")


def replayed_steps_are_those_of_training(subject: Subject) -> str | None:
    """Train by recorded steps and by ordinary ones, in batches of two sizes, under each norm."""
    for norm in norms_of(subject):
        why = compare_recorded(subject.create, _network, _threat(norm))
        if why is not None:
            return why
    return None


def digits_are_learnt(subject: Subject) -> None:
    """Train six epochs on a few hundred digits."""
    spec = _digits_spec(subject)
    data = prepare(spec, CPU)
    torch.manual_seed(0)
    model = build_model(spec.arch, data.test.image_shape, data.test.num_classes)
    with tempfile.TemporaryDirectory() as folder:
        method = subject.create()
        trainer = Trainer(spec, data, model, method, Path(folder), CPU, Execution())
        trainer.run()
    require(trainer.progress.failure is None, str(trainer.progress.failure))
    last = trainer.progress.history[-1]
    for accuracy, floor, what in (
        (last.val_clean_acc, CLEAN_FLOOR, "clean"),
        (last.val_pgd_acc, PGD_FLOOR, "under PGD-10"),
    ):
        require(accuracy > floor, f"{accuracy:.1%} {what} after 6 epochs, not above {floor:.0%}")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    its_norms_are_known,
    the_loss_is_a_finite_scalar_that_reaches_every_weight,
    adversarial_images_stay_inside_the_threat_model,
    it_leaves_the_batch_and_the_model_as_they_were,
    a_seed_fixes_the_result,
    the_global_generator_plays_no_part,
    a_saved_state_continues_as_if_never_stopped,
    the_model_to_score_has_the_same_weights_by_name,
    replayed_steps_are_those_of_training,
    digits_are_learnt,
)


def _cases(subject: Subject) -> Iterator[tuple[str, torch.dtype]]:
    return itertools.product(norms_of(subject), (torch.float32, torch.float64))


def _threat(norm: str) -> ThreatModel:
    return ThreatModel(norm, Epsilon("8/255"))


def _network(dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("smallcnn", SHAPE, 10).to(dtype).train()


def _batches(dtype: torch.dtype = torch.float32) -> list[Batch]:
    """Return two batches of unequal size."""
    x, y = images(SIZE, SHAPE, dtype), labels(SIZE, 10)
    order = torch.randperm(SIZE, generator=torch.Generator().manual_seed(2))
    return [Batch(x[index], y[index], index) for index in order.split([16, 8])]


def _ready(subject: Subject) -> Method:
    method: Method = subject.create()
    method.setup(SIZE, SHAPE, CPU)
    return method


def _step(method: Method, model: nn.Module, batch: Batch, norm: str, seed: int = 0) -> StepOutput:
    return method.step(model, batch, _threat(norm), torch.Generator().manual_seed(seed))


def _epoch(
    method: Method, model: nn.Module, number: int, norm: str, dtype: torch.dtype = torch.float32
) -> list[StepOutput]:
    """Train one epoch by plain gradient descent, as the trainer calls a method."""
    method.on_epoch_start(number)
    generator = torch.Generator().manual_seed(number)
    outputs = []
    for batch_number, batch in enumerate(_batches(dtype)):
        method.on_batch_start(batch_number)
        output = method.step(model, batch, _threat(norm), generator)
        model.zero_grad()
        output.loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        method.after_update(model)
        outputs.append(output)
    return outputs


def _same_training(subject: Subject, norm: str, global_seeds: tuple[int, int]) -> None:
    runs = []
    for seed in global_seeds:
        torch.manual_seed(seed)
        model = _network()
        runs.append((_epoch(_ready(subject), model, 1, norm), state_of(model)))
    (first, after_first), (second, after_second) = runs
    _same_outputs(first, second, f"a second time under {norm}")
    same(after_second, after_first, f"a second time under {norm}, the weights")


def _same_outputs(first: list[StepOutput], second: list[StepOutput], what: str) -> None:
    for one, other in zip(first, second, strict=True):
        require(torch.equal(one.x_adv, other.x_adv), f"{what}, the images differ")
        require(torch.equal(one.loss, other.loss), f"{what}, the losses differ")


def _digits_spec(subject: Subject) -> RunSpec:
    grid = {"methods": [subject.text], "norm": norms_of(subject)[0], "eps": ["8/255"]}
    recipe = {"epochs": 6, "batch_size": 32, "precision": "fp32"}
    return plan([{**grid, "data": {"train_examples": 300}, "recipe": recipe}])[0]
