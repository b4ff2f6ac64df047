"""The contract of training methods."""

from __future__ import annotations

import copy
import dataclasses
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from regmix_bench.data.run_data import prepare_training
from regmix_bench.errors import first_problem
from regmix_bench.grid.plan import plan
from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.specs.search import search_space
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
from regmix_bench.testing.effects import parameters_without_effect_say_so
from regmix_bench.testing.recorded import compare_recorded
from regmix_bench.testing.samples import inside, same, state_of
from regmix_bench.testing.smoothing import it_sees_smoothed_labels_where_it_says
from regmix_bench.testing.steps import (
    CPU,
    batches_of,
    cases,
    network,
    ready,
    take_step,
    threat_of,
    train_epoch,
)
from regmix_bench.training.trainer import Trainer
from regmix_bench.types import NO_LABEL, StepOutput

#: What may see smoothed labels.
TERMS = frozenset({"attack", "loss", "regulariser"})
#: A tenth is chance; a few hundred digits and six epochs bring a method far above these.
CLEAN_FLOOR, PGD_FLOOR = 0.5, 0.35


def ranges_to_tune_hold_their_defaults(subject: Subject) -> None:
    """Look at the ranges that parameters declare for `tune`, and set each to both of its ends."""
    config = subject.cls.Config
    for name, found in search_space(config).items():
        default = config.model_fields[name].get_default(call_default_factory=True)
        require(default in found, f"{name} is tuned from {found}, and its default is {default}")
        for value in (found.low, found.high):
            try:
                config(**{name: found.fitted(value)})
            except ValidationError as error:
                problem = first_problem(error)
                require(False, f"{name} = {value:g}, an end of its range, is refused: {problem}")


def the_loss_is_a_finite_scalar_that_reaches_every_weight(subject: Subject) -> None:
    """Differentiate one step's loss, in both floating-point types and under each norm."""
    for norm, dtype in cases(subject):
        model, method = network(dtype), ready(subject)
        method.on_epoch_start(1)
        for batch in batches_of(dtype):
            output = take_step(method, model, batch, norm)
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
    for norm, dtype in cases(subject):
        model, method = network(dtype), ready(subject)
        for number in (1, 2):
            outputs = train_epoch(method, model, number, norm, dtype)
            for output, batch in zip(outputs, batches_of(dtype), strict=True):
                reach, pixels = method.largest_perturbation, method.clips_pixels
                inside(output.x_adv, batch.x, threat_of(norm), reach, pixels)


def it_leaves_the_batch_and_the_model_as_they_were(subject: Subject) -> None:
    """Look at images, modes, gradients and weights after one step."""
    for norm in norms_of(subject):
        model, method = network(), ready(subject)
        method.on_epoch_start(1)
        (batch, _), weights = batches_of(), state_of(model, buffers=False)
        x, y = batch.x.clone(), batch.y.clone()
        output = take_step(method, model, batch, norm)
        require(torch.equal(batch.x, x), "the images were changed in place")
        require(torch.equal(batch.y, y), "the labels were changed in place")
        require(all(module.training for module in model.modules()), "a layer is left in eval mode")
        require(all(p.grad is None for p in model.parameters()), "gradients are left on weights")
        require(all(p.requires_grad for p in model.parameters()), "a weight is left frozen")
        same(state_of(model, buffers=False), weights, "the weights after a step")
        for name, value in output.metrics.items():
            scalar = isinstance(value, Tensor) and value.shape == () and not value.requires_grad
            require(scalar, f"metric {name!r} is no detached scalar")


def its_tricks_are_known(subject: Subject) -> None:
    """Look at what the class says of smoothed labels and of the recipe."""
    cls: type[Method] = subject.cls
    require(cls.smoothed <= TERMS, f"smoothed is {sorted(cls.smoothed)}, of {sorted(TERMS)}")
    mass = cls.default_true_class_mass
    require(0 < mass <= 1, f"default_true_class_mass is {mass}")
    require(
        mass == 1 or bool(cls.smoothed), f"its authors smooth labels, and it takes none: {mass}"
    )
    for field, why in cls.refuses.items():
        require(field in Recipe.model_fields, f"it refuses {field!r}, no field of the recipe")
        require(len(why.split()) > 1 and "\n" not in why, f"it refuses {field} for {why!r}")


def it_gives_its_loss_again(subject: Subject) -> None:
    """Ask for the loss of a step again, at the same weights and at others."""
    for norm in norms_of(subject):
        model, method = network(torch.float64), ready(subject)
        method.on_epoch_start(1)
        method.on_batch_start(0)
        (batch, _), generator = batches_of(torch.float64), torch.Generator().manual_seed(0)
        output = method.step(model, batch, threat_of(norm), generator)
        if output.again is None:
            refused = "awp_gamma" in method.refuses
            require(refused, "its steps have no `again`: say in `refuses` why of awp_gamma")
            return
        before, drawn = copy.deepcopy(method.state_dict()), generator.get_state()
        everywhere, weights = torch.get_rng_state(), state_of(model, buffers=False)
        again = output.again()
        near = torch.allclose(again, output.loss, rtol=1e-9, atol=1e-12)
        require(near, f"it is {again.item():.9g} again, after {output.loss.item():.9g}")
        reached = torch.autograd.grad(again, list(model.parameters()), allow_unused=True)
        require(all(g is not None for g in reached), "no gradient reaches a weight again")
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        other = output.again()
        with torch.no_grad():
            for parameter, weight in zip(model.parameters(), weights.values(), strict=True):
                parameter.copy_(weight)
        require(bool(other != again), "at other weights it is the same: what it is of was kept")
        require(bool(output.again() == again), "back at the weights it is another")
        require(torch.equal(generator.get_state(), drawn), "again it draws numbers")
        require(torch.equal(torch.get_rng_state(), everywhere), "again it draws numbers")
        require(_equal(method.state_dict(), before), "again it changes what is kept of images")
        require(all(module.training for module in model.modules()), "a layer is left in eval mode")


def a_seed_fixes_the_result(subject: Subject) -> None:
    """Train twice with the generator that the trainer gives."""
    for norm in norms_of(subject):
        _same_training(subject, norm, global_seeds=(1, 1))


def the_global_generator_plays_no_part(subject: Subject) -> None:
    """Train twice from two states of torch's global generator, and look whether it was drawn on."""
    for norm in norms_of(subject):
        _same_training(subject, norm, global_seeds=(1, 2))
    model, method = network(), ready(subject)
    before = torch.get_rng_state()
    train_epoch(method, model, 1, norms_of(subject)[0])
    require(torch.equal(torch.get_rng_state(), before), "numbers were drawn from it")


def a_saved_state_continues_as_if_never_stopped(subject: Subject) -> None:
    """Save after two epochs, and compare the third of the method that went on and of a new one."""
    norm = norms_of(subject)[0]
    model, method = network(), ready(subject)
    for number in (1, 2):
        train_epoch(method, model, number, norm)
    buffer = io.BytesIO()
    torch.save({"method": method.state_dict(), "model": model.state_dict()}, buffer)
    saved = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    resumed_model, resumed = network(), ready(subject)
    resumed_model.load_state_dict(saved["model"])
    resumed.load_state_dict(saved["method"])
    going_on = train_epoch(method, model, 3, norm)
    afresh = train_epoch(resumed, resumed_model, 3, norm)
    _same_outputs(going_on, afresh, "resumed")
    same(state_of(model), state_of(resumed_model), "resumed, the model")
    mine, other = method.evaluated_model(model), resumed.evaluated_model(resumed_model)
    same(state_of(mine), state_of(other), "resumed, the model to score")


def the_model_to_score_has_the_same_weights_by_name(subject: Subject) -> None:
    """Hold ``evaluated_model`` to what ``averages_weights`` says."""
    model, method = network(), ready(subject)
    train_epoch(method, model, 1, norms_of(subject)[0])
    before = state_of(model)
    scored = method.evaluated_model(model)
    require(scored.state_dict().keys() == before.keys(), "its weights have other names")
    same(state_of(model), before, "asked for the model to score, the one that is trained")
    averaged, said = scored is not model, subject.cls.averages_weights
    require(averaged == said, f"averages_weights is {said}, and another model is {averaged}")


def replayed_steps_are_those_of_training(subject: Subject) -> str | None:
    """Train by recorded steps and by ordinary ones, in batches of two sizes, under each norm."""
    for norm in norms_of(subject):
        why = compare_recorded(subject.create, network, threat_of(norm))
        if why is not None:
            return why
    return None


def missing_labels_are_not_asked(subject: Subject) -> None:
    """Take a step on a batch of which every other image has no label, if the class takes such."""
    if not subject.cls.takes_unlabelled:
        return
    for norm in norms_of(subject):
        model, method = network(), ready(subject)
        method.on_epoch_start(1)
        method.on_batch_start(0)
        batch, _ = batches_of()
        y = torch.where(batch.index % 2 == 0, batch.y, NO_LABEL)
        partly = dataclasses.replace(batch, y=y, partly_labelled=True)
        output = take_step(method, model, partly, norm)
        require(bool(output.loss.isfinite()), f"the loss is {output.loss.item()}")


def digits_are_learnt(subject: Subject) -> None:
    """Train six epochs on a few hundred digits."""
    spec = _digits_spec(subject)
    data = prepare_training(spec, CPU)
    torch.manual_seed(0)
    model = build_model(spec.arch, data.image_shape, data.num_classes)
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
    its_tricks_are_known,
    parameters_without_effect_say_so,
    ranges_to_tune_hold_their_defaults,
    the_loss_is_a_finite_scalar_that_reaches_every_weight,
    adversarial_images_stay_inside_the_threat_model,
    it_leaves_the_batch_and_the_model_as_they_were,
    it_sees_smoothed_labels_where_it_says,
    it_gives_its_loss_again,
    missing_labels_are_not_asked,
    a_seed_fixes_the_result,
    the_global_generator_plays_no_part,
    a_saved_state_continues_as_if_never_stopped,
    the_model_to_score_has_the_same_weights_by_name,
    replayed_steps_are_those_of_training,
    digits_are_learnt,
)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return bool(one == other)


def _same_training(subject: Subject, norm: str, global_seeds: tuple[int, int]) -> None:
    runs = []
    for seed in global_seeds:
        torch.manual_seed(seed)
        model = network()
        runs.append((train_epoch(ready(subject), model, 1, norm), state_of(model)))
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
