"""Specifications grow, and no recorded run changes its name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.synthetic import unmeasured

import regmix_baselines
import regmix_bench
from regmix_bench.methods import METHODS
from regmix_bench.specs import (
    Component,
    EvalSpec,
    MethodSpec,
    ModelSource,
    Recipe,
    RunSpec,
    Scoring,
)
from regmix_bench.specs.identity import VERSION_1, later_fields
from regmix_bench.types import ThreatModel

RESULTS = Path(__file__).parents[2] / "results" / "shipped"
CLASSES = (Component, EvalSpec, MethodSpec, ModelSource, Recipe, RunSpec, Scoring, ThreatModel)

#: Where each class stands, and what a made-up field is written before.
FIELDS = (
    ("regmix_bench/specs/recipe.py", "    epochs: int"),
    ("regmix_bench/specs/scoring.py", "    #: Of the PGD attack of every score."),
    ("regmix_bench/specs/components.py", "    label: str\n    code: "),  # a method
    ("regmix_bench/specs/components.py", '    kind: Literal["run"'),  # a model
    ("regmix_bench/specs/components.py", "    kind: ComponentKind\n"),
    ("regmix_bench/specs/run.py", "    dataset: str"),
    ("regmix_bench/types/threats.py", "    bounds: ClassVar"),  # of a threat model
    ("regmix_baselines/fgsm_rs.py", "        step_ratio: "),
)


def test_every_class_of_a_specification_has_its_frozen_fields() -> None:
    configs = [METHODS[name].Config for name in METHODS.names()]
    ours = [cls for cls in configs if cls.__module__.startswith("regmix_")]
    fields = {cls.__qualname__: cls.__pydantic_fields__.keys() for cls in (*CLASSES, *ours)}
    assert VERSION_1.keys() <= fields.keys() and {c.__name__ for c in CLASSES} <= VERSION_1.keys()
    for name, first in VERSION_1.items():
        assert first <= fields[name]


def test_what_older_runs_had_never_changes() -> None:
    # Add a field here with its value; change nothing that stands here.
    shared = {"pgd_threats": (), "components": ()}
    assert {cls.__name__: dict(later_fields(cls)) for cls in CLASSES} == {
        "RunSpec": {**shared, "labelled": None, "extra": None},
        "EvalSpec": shared,
        "Scoring": {
            "attacks": (),
            "screen": False,
            "forward_batch_size": None,
            "search_precision": "fp32",
        },
        "Recipe": {
            "optimizer": "sgd",
            "batches": "even",
            "true_class_mass": "method",
            "ema_start": 1,
            "ema_buffers": "averaged",
            "awp_gamma": None,
            "awp_warmup": 0,
            "schedule_step": "batch",
            "cycle_momentum": False,
            "validation_precision": "fp32",
            "selection": "val-pgd10",
            "unlabelled": "none",
            "init": None,
        },
        "MethodSpec": {"code": None},
        "ModelSource": {},
        "ThreatModel": {},
        "Component": {},
    }


def grown(folder: Path, declared: str) -> None:
    """Copy the packages, with a made-up field in every class of a specification and a Config."""
    for package in (regmix_bench, regmix_baselines):
        source, ignored = Path(package.__file__).parent, shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, folder / package.__name__, ignore=ignored)
    for name, before in FIELDS:
        text = (folder / name).read_text()
        assert text.count(before) == 1, (name, before)
        indent = before[: len(before) - len(before.lstrip())]
        text = text.replace(before, f"{indent}made_up: {declared}\n{before}")
        (folder / name).write_text(text.replace(FUTURE, IMPORTS, 1))


KEPT, CHANGED = "Annotated[int, Later(3)] = 3", "Annotated[int, Later(3)] = 4"
FUTURE = "from __future__ import annotations\n"
IMPORTS = f"{FUTURE}\nfrom typing import Annotated\nfrom regmix_bench.types.marks import Later\n"

CODE = """
import json, sys
from pathlib import Path
from regmix_bench.analysis.references import load_leaderboard
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records.paths import record_path
from regmix_bench.records.store import load_records
from regmix_bench.specs import Component, EvalSpec, RunSpec
from regmix_bench.specs.identity import hashed
assert sys.modules["regmix_bench"].__file__.startswith(sys.argv[1])
results = Path(sys.argv[2])
records = load_records(results)
assert len(load_leaderboard(results / "leaderboard.json").runs) > 100
specs = [record.spec for record in records.values() if record.kind != "transfer"]
assert len(specs) > 100
for spec in specs:
    parts = [spec, spec.scoring, *spec.eval_threats]
    parts += [spec.recipe, spec.method, spec.train_threat] if isinstance(spec, RunSpec) else []
    assert {part.made_up for part in parts} == {OLDER}
    for part in parts:
        assert spec.identity() == type(spec)(**dict(spec)).identity()
for path, record in records.items():
    if record.kind == "run":
        written = json.loads(path.read_text())["spec"]["method"]["label"]
        assert record.model_dump(mode="json")["spec"]["method"]["label"] == written
        assert record_path(results, record.spec) == path
        assert record.spec.stem == path.stem
first = {"kind": "arch", "name": "mine", "version": 1, "params": {"width": 8}}
assert hashed(Component(made_up=OLDER, **first)) == first != hashed(Component(made_up=7, **first))
recorded = {spec.run_id for spec in specs}
labels = {spec.label for spec in specs if isinstance(spec, RunSpec)}
planned = plan(load_suite("digits"), {"methods": ["fgsm-rs"], "seeds": [0, 1, 2]})
assert all(spec.run_id not in recorded for spec in planned) == ANOTHER
again = plan(load_suite("digits"), {"methods": [f"fgsm-rs[made_up={OLDER}]"], "seeds": [0, 1, 2]})
run = again[0]
old = run.model_copy(update={
    "made_up": OLDER,
    **{name: getattr(run, name).model_copy(update={"made_up": OLDER})
       for name in ("scoring", "recipe", "method")},
})
threat = type(run.train_threat)(run.train_threat.norm, run.train_threat.epsilon, OLDER)
old = old.model_copy(update={"train_threat": threat, "eval_threats": (threat,)})
assert old.run_id in recorded
for name in ("made_up", "scoring", "recipe", "method"):
    new = 7 if name == "made_up" else getattr(old, name).model_copy(update={"made_up": 7})
    assert old.model_copy(update={name: new}).run_id not in recorded
other = type(threat)(threat.norm, threat.epsilon, 7)
assert old.model_copy(update={"train_threat": other}).run_id not in recorded
flags = {"methods": ["fgsm-rs[made_up=7]"], "eps": ["32/255"], "seeds": [0]}
(seven,) = plan(load_suite("digits"), flags)
assert seven.run_id not in recorded and "made_up=7" in seven.label
assert ("fgsm-rs[made_up=3]" in labels) == ANOTHER
assert ("fgsm-rs" in labels) != ANOTHER
"""


@pytest.mark.parametrize(
    ("declared", "changed"),
    [(KEPT, False), (CHANGED, True), ("int = 3", False)],
    ids=["the default of old", "another default", "forgotten to say what older runs had"],
)
def test_a_made_up_field_in_every_class_renames_nothing(
    tmp_path: Path, declared: str, changed: bool
) -> None:
    grown(tmp_path, declared)
    code = CODE.replace("OLDER", "3").replace("ANOTHER", str(changed))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, sys.argv[1])\n{code}"]
    finished = subprocess.run(
        [*command, str(tmp_path), str(RESULTS)],
        capture_output=True,
        text=True,
        timeout=120,
        env=unmeasured(),  # a copy of the package is none of its lines
    )
    assert finished.returncode == 0, finished.stderr
