"""From a specification to the trainer of its model, at its first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from regmix_bench.data import TrainingData
from regmix_bench.loading.initial import fill_initial
from regmix_bench.methods.configured import make_method
from regmix_bench.models import build_model
from regmix_bench.models.execution import require_synchronisable
from regmix_bench.records.progress import Progress
from regmix_bench.specs import RunSpec
from regmix_bench.system.machine import Execution
from regmix_bench.training.teacher import taught
from regmix_bench.training.trainer import Trainer


def make_trainer(
    spec: RunSpec,
    data: TrainingData,
    directory: Path,
    device: torch.device,
    execution: Execution,
    say: Callable[[str], None] = lambda line: None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Trainer:
    """Return the trainer of a run, whose weights follow from its seed, whatever was drawn before.

    It goes on from the newest state in ``directory``. Where the recipe asks for pseudo-labels,
    another model is trained for them first, of which ``tell`` hears. Raises :class:`UserError` for
    a method or an architecture that is not installed, one whose batch norm cannot be synchronised,
    and for weights to start from that are not here or do not fit.
    """

    def make(spec: RunSpec, data: TrainingData, directory: Path) -> Trainer:
        return _trainer(spec, data, directory, device, execution, say)

    found = None
    if spec.recipe.unlabelled == "rst" and data.train.partly_labelled:
        found = taught(spec, data, directory, make, say, tell)
        data.train.pseudo_label(found.tensor())
    trainer = make(spec, data, directory)
    trainer.pseudo_labels = found
    return trainer


def _trainer(
    spec: RunSpec,
    data: TrainingData,
    directory: Path,
    device: torch.device,
    execution: Execution,
    say: Callable[[str], None],
) -> Trainer:
    with torch.random.fork_rng([]):
        torch.manual_seed(spec.seed)
        mean, std = data.train.channel_statistics()
        sizes = data.image_shape, data.num_classes
        model: nn.Module = build_model(spec.arch, *sizes, mean, std, spec.component("arch"))
    if spec.recipe.init is not None:
        fill_initial(model, spec.recipe.init)
    model.to(device)
    if execution.sync_bn:
        require_synchronisable(model, spec.arch)
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    method = make_method(spec.method)
    return Trainer(spec, data, model, method, directory, device, execution, say)
