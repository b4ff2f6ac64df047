"""A model of RobustBench (Croce et al. 2021, arXiv:2010.09670); the one door to its package.

Two things keep robustbench 1.1.1 from being imported as it is installed. It imports ``autoattack``,
as AutoAttack is called in its repository, but depends on ``pyautoattack``, the same code under the
name it has on the index; here the one stands for the other while robustbench is imported, and no
longer. And it imports ``pkg_resources``, which setuptools 81 dropped; the extra ``zoo`` asks for an
older one.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from regmix_bench.data.cache import folder as cache_folder
from regmix_bench.errors import UserError, reason, unknown
from regmix_bench.loading.model import LoadedModel, arch_name, eval_mode
from regmix_bench.models.weights import state_digest
from regmix_bench.specs import ModelSource


def from_robustbench(name: str, dataset: str, norm: str) -> LoadedModel:
    """Load the model ``name`` of RobustBench; see :func:`load_zoo_model`."""
    model = load_zoo_model(name, dataset, norm, cache_folder() / "robustbench")
    model = eval_mode(model, f"robustbench:{name}")
    # An ensemble has several files: what counts is the model that they make together.
    source = ModelSource(kind="robustbench", name=name, sha256=state_digest(model))
    return LoadedModel(model, source, arch_name(type(model).__name__), name)


def import_robustbench(module: str) -> Any:
    """Import a module of ``robustbench`` by its full name, such as ``robustbench.utils``.

    Raises :class:`UserError`, with the command that mends it, where it cannot be imported.
    """
    stand_ins = {
        f"autoattack{part}": importlib.import_module(f"pyautoattack{part}")
        for part in ("", ".state")
    }
    added = stand_ins.keys() - sys.modules.keys()
    sys.modules.update({name: stand_ins[name] for name in added})
    try:
        with warnings.catch_warnings():
            # It warns of old names that it uses itself, which its user cannot change.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'models of RobustBench need its package ({error}): pip install "regmix-bench[zoo]"'
        ) from error
    finally:
        for name in added:
            del sys.modules[name]


def load_zoo_model(name: str, dataset: str, norm: str, folder: Path) -> nn.Module:
    """Load the model that RobustBench calls ``name``, on the CPU and in evaluation mode.

    Its weights are kept as ``folder/<dataset>/<norm>/<name>.pt``, where they may also be put by
    hand, and are downloaded unless they lie there. As all models here, it takes images in [0, 1].
    Raises :class:`UserError` for a dataset or name that RobustBench does not know, for weights that
    cannot be downloaded, and for a file that does not hold them.
    """
    utils = import_robustbench("robustbench.utils")
    models = {key.value: value for key, value in utils.all_models.items()}
    if dataset not in models:
        raise UserError(f"RobustBench has no models of {dataset!r}, only of {', '.join(models)}")
    names = models[dataset].get(utils.ThreatModel(norm), {})
    if name not in names:
        raise unknown(f"RobustBench model of {dataset} and {norm}", name, names)
    file = folder / dataset / norm / f"{name}.pt"
    gdown = importlib.import_module("gdown.exceptions")
    try:
        model: nn.Module = utils.load_model(name, folder, dataset, norm)
    except (OSError, gdown.FileURLRetrievalError) as error:
        raise UserError(
            f"cannot download {name} of RobustBench: {reason(error)}; without a network, put its"
            f" weights at {file}"
        ) from error
    except (pickle.UnpicklingError, EOFError, RuntimeError, KeyError, SystemExit) as error:
        raise UserError(f"{file} does not hold the weights of {name}: {reason(error)}") from error
    return model.eval()
