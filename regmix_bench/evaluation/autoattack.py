"""AutoAttack, attack by attack and batch by batch, with the attacks of the authors' package.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", ICML 2020. The order, the seeds and the batches are those of
``pyautoattack.AutoAttack.run_standard_evaluation``, so the outcome of every image is the same; what
that call prints and forgets is kept: which attack broke which image, and what it warned of.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from pyautoattack import AutoAttack, checks
from torch import Tensor

from regmix_bench.attacks.pgd import frozen
from regmix_bench.evaluation.attacked_model import Scored
from regmix_bench.evaluation.journal import Journal, Part, Trace, judge, run_stage
from regmix_bench.models.chunks import ChunkedModel
from regmix_bench.models.predictions import accuracy, require_eval_mode
from regmix_bench.records.schema import Check, Cost
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

#: What the package warns of → the name under which it is recorded.
WARNINGS: dict[str, Check] = {
    "randomized defense": "randomized-model",
    "probability distribution": "softmax-output",
    "zero gradient": "zero-gradients",
    "dynamic defense": "dynamic-model",
    "Square Attack has decreased": "square-stronger-than-white-box",
}


#: Two calls on the same images differ by this share of the largest logit at most.
RANDOMIZED = 1e-4


@dataclass(frozen=True)
class AttackOutcome:
    """What AutoAttack left: per image, after each attack, and its warnings.

    ``attacks`` has what each did, in the order they ran; ``robust`` (N,) bool, in main memory, are
    the images that were right and stay so; ``after_attack`` is their share after each attack.
    """

    attacks: dict[str, Trace]
    robust: Tensor
    after_attack: dict[str, float]
    substitutions: tuple[str, ...]
    checks: tuple[str, ...]

    @property
    def cost(self) -> Cost:
        """Of everything, also of what was measured before a restart."""
        return sum((trace.cost for trace in self.attacks.values()), Cost())


def run_autoattack(
    model: Scored,
    x: Tensor,
    y: Tensor,
    right: Tensor,
    threat: ThreatModel,
    scoring: Scoring,
    journal: Journal,
    on_attack: Callable[[str, float], None] = lambda attack, accuracy: None,
) -> AttackOutcome:
    """Run AutoAttack on images (N, C, H, W) in [0, 1] with labels (N,), where ``right`` (N,) bool.

    It runs on the copy of the model; what it warns of beforehand, and every outcome, is the model's
    own. What ``journal`` holds is not computed again; the adversarial images are there alone.
    ``on_attack`` hears the name of each finished attack and the accuracy that is left. Raises
    ``RuntimeError`` for a model in training mode, and what :func:`judge` and the journal raise.
    """
    require_eval_mode(model.plain)
    size = scoring.autoattack_batch_size
    attack = AutoAttack(
        model.attacked,
        norm=threat.norm,
        eps=float(threat.epsilon),
        seed=scoring.autoattack_seed,
        version=scoring.autoattack_version,
        attacks=list(scoring.attacks) or None,
        device=x.device,
    )
    x = x.contiguous()  # its zero-gradient check takes a view
    devices = [x.device] if x.device.type == "cuda" else []

    def measure(name: str, _: int, index: Tensor) -> Part:
        with warnings_of(attack.logger) as raised:
            # Seeded by the package, so that it repeats itself where memory ran out.
            x_adv = getattr(attack, _MEMBER[name]).perturb(x[index].clone(), y[index].clone())
        part = judge(model.plain, index, x[index], y[index], x_adv, right[index], threat.norm)
        return replace(part, checks=tuple(raised))

    # Every attack reseeds torch's global generator; that must not leak into the caller's.
    with frozen(model.attacked), torch.random.fork_rng(devices), torch.no_grad():
        with warnings_of(attack.logger) as raised:
            classes = model.chunks.fit(
                lambda: _check_model(model.plain, x[:size], y[:size], scoring, attack.logger)
            )
        names, substitutions = _adapt_to_classes(attack, classes)
        robust, after_attack = right.clone(), {"clean": accuracy(right)}
        attacks: dict[str, Trace] = {}
        for name in names:
            _PREPARE[name](attack)
            left = robust.nonzero().squeeze(1)
            batches = left.split(size) if len(left) else ()  # split would give an empty batch
            trace = run_stage(journal, name, model, batches, partial(measure, name), len(y))
            robust &= ~trace.broke.to(robust.device)
            attacks[name], after_attack[name] = trace, accuracy(robust)
            on_attack(name, after_attack[name])
    with warnings_of(attack.logger) as raised_after:
        checks.check_square_sr(after_attack, logger=attack.logger)
    if substitutions:
        raised_after.append("too-few-classes")
    del after_attack["clean"]
    meanwhile = [name for trace in attacks.values() for name in trace.checks]
    return AttackOutcome(
        attacks=attacks,
        robust=robust.cpu(),
        after_attack=after_attack,
        substitutions=substitutions,
        checks=tuple(dict.fromkeys([*raised, *meanwhile, *raised_after])),
    )


def _check_model(
    model: ChunkedModel, x: Tensor, y: Tensor, scoring: Scoring, logger: logging.Logger
) -> int:
    """The package's checks of the model, without what they leave behind; the number of classes.

    Its check of dynamic models counts calls in a table of the process, where one model's would be
    the next one's, and ends any tracing, a debugger's or a coverage tool's.
    """
    if scoring.autoattack_version != "rand":
        checks.check_randomized(model, x, y, logger=logger)
        # It compares directions alone, where a model may also change in scale.
        first, second = model(x), model(x)
        if (first - second).abs().max() > RANDOMIZED * first.abs().max():
            logger.warning("the model is a randomized defense: two calls differ")
    classes: int = checks.check_range_output(model, x, logger=logger)
    tracer, counts = sys.gettrace(), dict(checks.funcs)
    checks.funcs.update(dict.fromkeys(counts, 0))
    try:
        checks.check_dynamic(model, x, logger=logger)
    finally:
        sys.settrace(tracer)
        checks.funcs.update(counts)
    return classes


def _apgd(loss: str) -> Callable[[AutoAttack], None]:
    def prepare(attack: AutoAttack) -> None:
        attack.apgd.loss = loss

    return prepare


def _fab(targeted: bool) -> Callable[[AutoAttack], None]:
    def prepare(attack: AutoAttack) -> None:
        attack.fab.targeted = targeted
        if targeted:
            attack.fab.n_restarts = 1  # and so it stays, should the untargeted one come later

    return prepare


#: What the package sets before each attack; also before one whose outcome is there already,
#: because the next may depend on it.
_PREPARE: dict[str, Callable[[AutoAttack], None]] = {
    "apgd-ce": _apgd("ce"),
    "apgd-dlr": _apgd("dlr"),
    "apgd-t": lambda attack: None,
    "fab": _fab(targeted=False),
    "fab-t": _fab(targeted=True),
    "square": lambda attack: None,
}
_MEMBER = {
    "apgd-ce": "apgd",
    "apgd-dlr": "apgd",
    "apgd-t": "apgd_targeted",
    "fab": "fab",
    "fab-t": "fab",
    "square": "square",
}


def _adapt_to_classes(attack: AutoAttack, classes: int) -> tuple[list[str], tuple[str, ...]]:
    """Lower the number of target classes, and replace attacks whose loss is undefined.

    The targeted DLR loss needs four classes and the untargeted one three (Croce & Hein 2020, eq. 6
    and 8); with two, cross-entropy orders images by the only margin there is, and takes its place.
    """
    names = list(attack.attacks_to_run)
    substitutions = []
    targets = classes - 1
    if targets < attack.fab.n_target_classes and {"apgd-t", "fab-t"} & set(names):
        substitutions.append(f"{targets} target classes instead of {attack.fab.n_target_classes}")
        attack.fab.n_target_classes = attack.apgd_targeted.n_target_classes = targets
    undefined = {3: ["apgd-t"], 2: ["apgd-t", "apgd-dlr"]}.get(classes, [])
    for name in [name for name in undefined if name in names]:
        other = "apgd-dlr" if classes == 3 else "apgd-ce"
        if other in names:
            names.remove(name)
        else:
            names[names.index(name)] = other
        if other == "apgd-ce":
            attack.apgd.n_restarts = 5
            other = "5 restarts of apgd-ce"
        substitutions.append(f"{other} instead of {name}")
    return names, tuple(substitutions)


@contextlib.contextmanager
def warnings_of(logger: logging.Logger) -> Iterator[list[Check]]:
    """Collect the names of what the package warns of while the block runs."""
    raised: list[Check] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            name = next((WARNINGS[key] for key in WARNINGS if key in message), None)
            if name is None:  # of a later version of the package
                logging.getLogger(__name__).warning("AutoAttack warns: %s", message)
            if (known := name or "other-warning") not in raised:
                raised.append(known)

    handler = Collect(logging.WARNING)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.WARNING)  # whatever the program around us wants to see
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield raised
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        logger.setLevel(level)
