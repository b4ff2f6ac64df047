"""From a specification to the trainer of its model, at its first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from regmix_bench.data import TrainingData
from regmix_bench.methods.configured import make_method
from regmix_bench.models import build_model
from regmix_bench.models.execution import require_synchronisable
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.training.trainer import Trainer


def make_trainer(
    spec: RunSpec,
    data: TrainingData,
    directory: Path,
    device: torch.device,
    execution: Execution,
    say: Callable[[str], None] = lambda line: None,
) -> Trainer:
    """Return the trainer of a run, whose weights follow from its seed, whatever was drawn before.

    It goes on from the newest state in ``directory``. Raises :class:`UserError` for a method or an
    architecture that is not installed, and one whose batch norm cannot be synchronised.
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(spec.seed)
        mean, std = data.train.channel_statistics()
        sizes = data.image_shape, data.num_classes
        model: nn.Module = build_model(spec.arch, *sizes, mean, std, spec.component("arch"))
    model.to(device)
    if execution.sync_bn:
        require_synchronisable(model, spec.arch)
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    method = make_method(spec.method)
    return Trainer(spec, data, model, method, directory, device, execution, say)
