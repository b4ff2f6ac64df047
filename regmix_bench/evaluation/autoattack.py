"""AutoAttack, attack by attack and batch by batch, with the attacks of the authors' package.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks", ICML 2020. The order, the seeds and the batches are those of
``pyautoattack.AutoAttack.run_standard_evaluation``, so the outcome of every image is the same; what
that call prints and forgets is kept: which attack broke which image, and what it warned of.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from pyautoattack import AutoAttack, checks
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from regmix_bench.evaluation.accuracy import accuracy, correct, frozen, require_eval_mode
from regmix_bench.types import Scoring, ThreatModel

#: What the package warns of → the name under which it is recorded.
WARNINGS = {
    "randomized defense": "randomized-model",
    "probability distribution": "softmax-output",
    "zero gradient": "zero-gradients",
    "Square Attack has decreased": "square-stronger-than-white-box",
}


@dataclass(frozen=True)
class AttackOutcome:
    """What AutoAttack left: per image, after each attack, and its warnings.

    ``broken_by`` (N,) names the attack that broke each image, "" where it held or was
    misclassified unattacked; ``x_adv`` (N, C, H, W) are the images that broke, else the clean ones.
    """

    broken_by: list[str]
    x_adv: Tensor
    after_attack: dict[str, float]
    substitutions: tuple[str, ...]
    checks: tuple[str, ...]


def run_autoattack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    scoring: Scoring,
    on_attack: Callable[[str, float], None] = lambda attack, accuracy: None,
) -> AttackOutcome:
    """Run AutoAttack on images (N, C, H, W) in [0, 1] with labels (N,).

    ``on_attack`` hears the name of each finished attack and the accuracy that is left. Raises
    ``RuntimeError`` for a model in training mode.
    """
    require_eval_mode(model)
    size = scoring.autoattack_batch_size
    whole = InChunks(model)
    attack = AutoAttack(
        whole,
        norm=threat.norm,
        eps=float(threat.epsilon),
        seed=scoring.autoattack_seed,
        version=scoring.autoattack_version,
        device=x.device,
    )
    x = x.contiguous()  # its zero-gradient check takes a view
    devices = [x.device] if x.device.type == "cuda" else []
    # Every attack reseeds torch's global generator; that must not leak into the caller's.
    with _warnings(attack.logger) as raised, frozen(model), torch.random.fork_rng(devices):
        with torch.no_grad():
            classes = checks.check_range_output(whole, x[:size], logger=attack.logger)
            checks.check_randomized(whole, x[:size], y[:size], logger=attack.logger)
            names, substitutions = _adapt_to_classes(attack, classes)
            clean = correct(model, x, y)
            robust, x_adv, broken_by = clean.clone(), x.clone(), [""] * len(y)
            after_attack = {"clean": accuracy(clean)}
            for name in names:
                for index in robust.nonzero().squeeze(1).split(size):
                    adv = _perturb(attack, whole, name, x[index], y[index])
                    fooled = index[model(adv).argmax(1) != y[index]]
                    x_adv[fooled] = adv[torch.isin(index, fooled)]
                    robust[fooled] = False
                    for position in fooled.tolist():
                        broken_by[position] = name
                after_attack[name] = accuracy(robust)
                on_attack(name, after_attack[name])
        checks.check_square_sr(after_attack, logger=attack.logger)
    del after_attack["clean"]
    return AttackOutcome(broken_by, x_adv, after_attack, substitutions, tuple(raised))


class InChunks(nn.Module):
    """Splits a forward pass that does not fit into memory; the attack's batch stays whole.

    A split pass is computed again on the way back, so that one chunk's graph is alive at a time.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.size: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.size is None or len(x) <= self.size:
            logits: Tensor = self.model(x)
            return logits
        parts = x.split(self.size)
        return torch.cat([checkpoint(self.model, part, use_reentrant=False) for part in parts])


def _perturb(attack: AutoAttack, model: InChunks, name: str, x: Tensor, y: Tensor) -> Tensor:
    """One attack on one batch; seeded by the package, so that a retry repeats it."""
    while True:
        try:
            return _ATTACKS[name](attack, x.clone(), y.clone())
        except torch.OutOfMemoryError:
            if model.size == 1:
                raise
        # Here, because the traceback of a handled error keeps its tensors alive.
        model.size = max(1, (model.size or len(x)) // 2)
        torch.cuda.empty_cache()


def _apgd(loss: str) -> Callable[[AutoAttack, Tensor, Tensor], Tensor]:
    def run(attack: AutoAttack, x: Tensor, y: Tensor) -> Tensor:
        attack.apgd.loss = loss
        x_adv: Tensor = attack.apgd.perturb(x, y)
        return x_adv

    return run


def _fab_targeted(attack: AutoAttack, x: Tensor, y: Tensor) -> Tensor:
    attack.fab.targeted = True
    attack.fab.n_restarts = 1
    x_adv: Tensor = attack.fab.perturb(x, y)
    return x_adv


_ATTACKS: dict[str, Callable[[AutoAttack, Tensor, Tensor], Tensor]] = {
    "apgd-ce": _apgd("ce"),
    "apgd-dlr": _apgd("dlr"),
    "apgd-t": lambda attack, x, y: attack.apgd_targeted.perturb(x, y),
    "fab-t": _fab_targeted,
    "square": lambda attack, x, y: attack.square.perturb(x, y),
}


def _adapt_to_classes(attack: AutoAttack, classes: int) -> tuple[list[str], tuple[str, ...]]:
    """Lower the number of target classes, and replace attacks whose loss is undefined.

    The targeted DLR loss needs four classes and the untargeted one three (Croce & Hein 2020, eq. 6
    and 8); with two, cross-entropy orders images by the only margin there is, and takes its place.
    """
    names = list(attack.attacks_to_run)
    substitutions = []
    targets = classes - 1
    if targets < attack.fab.n_target_classes:
        substitutions.append(f"{targets} target classes instead of {attack.fab.n_target_classes}")
        attack.fab.n_target_classes = attack.apgd_targeted.n_target_classes = targets
    if classes == 3:
        names[names.index("apgd-t")] = "apgd-dlr"
        substitutions.append("apgd-dlr instead of apgd-t")
    elif classes == 2:
        names.remove("apgd-t")
        attack.apgd.n_restarts = 5
        substitutions.append("5 restarts of apgd-ce instead of apgd-t")
    return names, tuple(substitutions)


@contextlib.contextmanager
def _warnings(logger: logging.Logger) -> Iterator[list[str]]:
    """Collect the names of what the package warns of while the block runs."""
    raised: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            name = next((WARNINGS[key] for key in WARNINGS if key in message), None)
            name = name or re.sub(r"\s+", " ", message)
            if name not in raised:
                raised.append(name)

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
