"""A study sheet that breaks no rule, ways to spoil it, and recorded runs to make one of."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from regmix_bench.records import store
from regmix_bench.records.schema import EpochLog
from regmix_bench.sheets.sheet import Sheet, SheetTable
from regmix_bench.specs import MethodSpec
from support.synthetic import make_record, make_spec, write_run

#: A row of three seeds, as JSON holds it.
ROW: dict[str, Any] = {
    "method": "pgd-at",
    "architecture": "resnet18",
    "dataset": "cifar10",
    "train_images": 49_000,
    "extra_data": "none",
    "threat": {"norm": "Linf", "epsilon": "8/255"},
    "recipe": {
        **{"epochs": 30, "batch_size": 128, "optimizer": "sgd", "lr": 0.1, "last_lr": 0.001},
        **{"momentum": 0.9, "weight_decay": 5e-4, "schedule": "onecycle"},
        **{"augmentation": "crop-flip", "precision": "fp32"},
    },
    "tricks": {
        **{"true_class_mass": 0.6, "attack_mass": 0.6},
        **{"ema_decay": "none", "awp_gamma": "none", "gradient_clip": "none"},
    },
    "weights": {"kind": "raw", "epoch": "selected"},
    "selection": {
        **{"rule": "val-pgd10", "images": 1000, "images_from": "training", "trained_on": False}
    },
    "measurement": {
        **{"images": 10_000, "test_images": 10_000, "autoattack": "standard", "seed": 0},
        **{"package": "pyautoattack 0.2", "batch_size": 500, "precision": "fp32"},
    },
    "tuned_on": "beforehand",
    "hyperparameters": {"steps": {"value": 10, "authors": 10}},
    "numbers": {
        "clean": {"mean": 82.0, "deviation": 1.0},
        "pgd-20": {"mean": 52.0, "deviation": 1.0},
        "autoattack": {"mean": 49.0, "deviation": 1.0},
    },
    "runs": [
        {
            "seed": seed,
            "numbers": {"clean": 82.0 + by, "pgd-20": 52.0 + by, "autoattack": 49.0 + by},
            "selected_epoch": 28,
        }
        for seed, by in enumerate((-1.0, 0.0, 1.0))
    ],
    "files": ["logs/pgd-at"],
}


def clean_content() -> dict[str, Any]:
    """Return the sheet of three rows that share everything, as JSON holds it."""
    rows = [{**copy.deepcopy(ROW), "method": name} for name in ("pgd-at", "trades", "regmix")]
    table = {"ranked_by": "autoattack", "overfitting_shown": False, "rows": rows}
    return {"title": "A study", "tables": {"cifar10": table}}


def planted(path: str, value: object, row: int = 2) -> dict[str, Any]:
    """Return the content with another value at a path of one row, or of ``table.…``."""
    content = clean_content()
    table = content["tables"]["cifar10"]
    place: Any = table if path.startswith("table.") else table["rows"][row]
    *keys, last = path.removeprefix("table.").split(".")
    for key in keys:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return content


def sheet_of(content: dict[str, Any]) -> Sheet:
    """Make the sheet of a content, as the reader does."""
    return Sheet.model_validate_json(json.dumps(content))


def table_of(content: dict[str, Any]) -> SheetTable:
    """Return the one table of a content."""
    (table,) = sheet_of(content).tables.values()
    return table


def _log(epoch: int, pgd: float, fgsm: float | None = None, lr: float = 0.1) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        lr=lr,
        loss=1.0,
        val_clean_acc=0.9,
        val_fgsm_acc=pgd if fgsm is None else fgsm,
        val_pgd_acc=pgd,
        seconds=1.0,
    )


def method_spec(name: str, **params: Any) -> MethodSpec:
    """Return a method with parameters as a record has them."""
    return MethodSpec(name=name, version=1, params=params, label=name)


def record_runs(results: Path) -> None:
    """Three seeds of TRADES and FGSM-PGI, the last of which overfitted, and a run that failed."""
    for seed in range(3):
        history = (_log(1, 0.5), _log(2, 0.6, lr=0.001), _log(3, 0.55, lr=0.0001))
        common = {"history": history, "selected_epoch": 2, "n_train": 900, "n_validation": 100}
        common |= {"environment": {"pyautoattack": "0.2.0"}, "n_test": 360}
        write_run(results, make_spec(seed=seed), autoattack=300 + seed, **common)
        other = {**common, "history": (_log(1, 0.5), _log(2, 0.6, 0.9), _log(3, 0.1, 0.95))}
        spec = make_spec("fgsm-pgi", method=method_spec("fgsm-pgi", lambda_=1.0), seed=seed)
        write_run(results, spec, autoattack=290, **(other if seed == 2 else common))
    failed = make_record(make_spec(seed=3), status="error", error="no memory\nand more")
    store.save_record(results, failed)
