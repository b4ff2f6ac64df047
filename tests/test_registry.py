"""Finding things by name: in this process, in this package, and in a stranger's package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS, load_method, register_method
from regmix_bench.methods.regmix import RegMix
from regmix_bench.registry import Registry

ROOT = Path(__file__).parent.parent

#: A whole method in one file, as the README tells how to add one.
NOISE = '''
"""Training on noise, for a test."""
from pydantic import Field

from regmix_bench.losses import cross_entropy
from regmix_bench.methods.protocol import Method
from regmix_bench.attacks.norms import uniform_start
from regmix_bench.types import Frozen, StepOutput


class Noise(Method):
    """CE on images under uniform noise."""

    name = "noise"

    class Config(Frozen):
        weight: float = Field(1.0, gt=0)

    def step(self, model, batch, threat, generator):
        x = batch.x + uniform_start(batch.x, threat, generator)
        return StepOutput(self.config.weight * cross_entropy(model(x), batch.y), x)
'''


def install(site: Path, source: str = NOISE, entry: str = "noise = noise_plugin:Noise") -> Path:
    """What an installer leaves behind for a distribution of one module, without a network."""
    (site / "noise_plugin.py").write_text(source)
    info = site / "noise_for_robustness-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: noise-for-robustness\nVersion: 1.5\n"
    )
    (info / "entry_points.txt").write_text(f"[regmix_bench.methods]\n{entry}\n")
    return site


def command(site: Path, *arguments: str, module: str = "regmix_bench.cli"):
    path = os.pathsep.join(filter(None, [os.fspath(site), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=site,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def assert_refused(finished: subprocess.CompletedProcess[str], *words: str) -> None:
    assert finished.returncode == 2, finished.stderr
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    for word in words:
        assert word in line


def test_a_strangers_method_is_listed_with_its_origin(tmp_path: Path) -> None:
    finished = command(install(tmp_path), "list", "methods")
    assert finished.returncode == 0, finished.stderr
    (row,) = [line for line in finished.stdout.splitlines() if line.startswith("noise ")]
    assert "noise-for-robustness 1.5" in row
    assert "Linf, L2" in row
    assert "CE on images under uniform noise." in row
    (regmix,) = [line for line in finished.stdout.splitlines() if line.startswith("regmix ")]
    assert "regmix-bench" in regmix


def test_a_strangers_method_meets_the_contract(tmp_path: Path) -> None:
    suite = os.fspath(ROOT / "tests" / "test_method_contract.py")
    options = [
        "-q",
        "-k",
        "noise",
        "-p",
        "no:cacheprovider",
        "-c",
        os.fspath(ROOT / "pyproject.toml"),
    ]
    finished = command(install(tmp_path), suite, *options, module="pytest")
    assert finished.returncode == 0, finished.stdout
    contract = (ROOT / "tests" / "test_method_contract.py").read_text()
    checks = contract.count("\n@every_method") + contract.count("\n@both_dtypes")
    assert f"{checks} passed" in finished.stdout


def test_the_contract_catches_a_method_that_leaves_the_ball(tmp_path: Path) -> None:
    source = NOISE.replace("x = batch.x + uniform", "x = batch.x + 2 * uniform")
    suite = os.fspath(ROOT / "tests" / "test_method_contract.py")
    options = ["-q", "-k", "noise and inside", "-p", "no:cacheprovider"]
    finished = command(install(tmp_path, source), suite, *options, module="pytest")
    assert finished.returncode == 1
    assert "2 failed" in finished.stdout


def test_a_strangers_method_is_trained_scored_and_recorded(tmp_path: Path) -> None:
    finished = command(
        install(tmp_path),
        *("run", "--methods", "noise[weight=2]", "--epochs", "2", "--train-examples", "60"),
        *("--eval-examples", "10", "--device", "cpu", "--precision", "fp32"),
    )
    assert finished.returncode == 0, finished.stderr
    (path,) = tmp_path.glob("results/digits/smallcnn/*.json")
    record = json.loads(path.read_text())
    assert record["status"] == "success"
    assert record["spec"]["method"] == {
        "name": "noise",
        "version": 1,
        "params": {"weight": 2.0},
        "label": "noise[weight=2]",
    }
    assert record["environment"]["method_origin"] == "noise-for-robustness 1.5"
    assert len(record["history"]) == 2


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    site = install(tmp_path, entry="trades = noise_plugin:Noise")
    assert_refused(
        command(site, "list", "methods"), "'trades'", "regmix-bench 0.", "noise-for-robustness 1.5"
    )


@pytest.mark.parametrize(
    ("source", "entry", "reason"),
    [
        (NOISE, "noise = no_such_module:Noise", "no_such_module"),
        (NOISE, "noise = noise_plugin:Nose", "Nose"),
        ("Noise = print", "noise = noise_plugin:Noise", "is no method"),
        ("def broken(:\n", "noise = noise_plugin:Noise", "SyntaxError"),
        ("raise ValueError('two\\nlines')", "noise = noise_plugin:Noise", "two lines"),
    ],
)
def test_a_broken_entry_point_names_its_distribution(tmp_path, source, entry, reason) -> None:
    finished = command(install(tmp_path, source, entry), "run", "--methods", "noise", "--dry-run")
    assert_refused(finished, "'noise'", "noise-for-robustness 1.5", reason)


def test_a_broken_neighbour_does_not_stop_a_run(tmp_path: Path) -> None:
    site = install(tmp_path, entry="noise = no_such_module:Noise")
    finished = command(site, "run", "--methods", "trades", "--dry-run")
    assert finished.returncode == 0, finished.stderr


def test_every_method_of_the_two_packages_is_found() -> None:
    assert {
        *("standard", "pgd-at", "trades", "mart", "fgsm-rs", "fgsm-pgi", "fgsm-pgk"),
        *("regmix", "regmix-amr", "regmix-agr", "regmix-pgd"),
    } <= set(METHODS.names())
    assert METHODS["regmix"] is RegMix
    assert METHODS.origin("trades").startswith("regmix-bench ")


def test_an_unknown_name_is_answered_by_the_nearest() -> None:
    for ask in (METHODS.__getitem__, METHODS.origin, load_method):
        with pytest.raises(UserError, match="unknown method 'tradess': did you mean 'trades'"):
            ask("tradess")


def test_names_import_nothing() -> None:
    registry: Registry[object] = Registry("thing", builtin={"gone": "no_such_module:x"})
    assert registry.names() == ["gone"]
    assert registry.origin("gone") == "regmix-bench"
    with pytest.raises(UserError, match="thing 'gone' of regmix-bench cannot be loaded"):
        registry["gone"]


def test_a_target_may_lie_deeper_in_a_module() -> None:
    registry: Registry[object] = Registry("thing", builtin={"c": "pathlib:Path.home"})
    assert registry["c"] == Path.home


def test_what_this_process_registers_wins() -> None:
    registry: Registry[object] = Registry("thing", builtin={"a": "pathlib:Path"})
    registry.register("a", 1)
    registry.register("b", 2)
    assert (registry["a"], registry["b"]) == (1, 2)
    assert registry.names() == ["a", "b"]
    assert registry.origin("a") == "this process"


def test_register_method_works_as_a_decorator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METHODS, "_registered", {})

    @register_method
    class Mine(RegMix):
        name = "mine"

    assert METHODS["mine"] is Mine
    assert load_method("mine", alpha=3).config.alpha == 3

    class Nameless(RegMix):
        name = ""

    with pytest.raises(UserError, match=r"Nameless.* is no method: .* give it a name"):
        register_method(Nameless)
