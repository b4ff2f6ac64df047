"""The door to RobustBench: its own code loads the model, and what goes wrong is one line."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pyautoattack
import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.loading.robustbench import import_robustbench, load_zoo_model
from regmix_bench.models.predictions import require_eval_mode

# A pre-activation ResNet-18, whose published file lacks the buffers of its normalisation.
NAME = "Wong2020Fast"


def refuse(*_: object) -> None:
    raise OSError("network is unreachable")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def weights_file(folder: Path) -> Path:
    """Where the loader looks for the weights."""
    file = folder / "cifar10" / "Linf" / f"{NAME}.pt"
    file.parent.mkdir(parents=True)
    return file


def test_robustbench_builds_and_fills_the_model(tmp_path: Path, offline: None) -> None:
    zoo = import_robustbench("robustbench.model_zoo")
    enums = import_robustbench("robustbench.model_zoo.enums")
    linf = zoo.model_dicts[enums.BenchmarkDataset.cifar_10][enums.ThreatModel.Linf]
    expected = linf[NAME]["model"]().eval()
    state = {f"module.{key}": value for key, value in expected.state_dict().items()}
    for published_without in ("module.mu", "module.sigma"):
        del state[published_without]
    torch.save(state, weights_file(tmp_path))

    model = load_zoo_model(NAME, "cifar10", "Linf", tmp_path)

    require_eval_mode(model)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), expected(images))


def test_autoattack_is_lent_its_name_and_no_longer() -> None:
    assert import_robustbench("robustbench.eval").AutoAttack is pyautoattack.AutoAttack
    assert not [name for name in sys.modules if name.partition(".")[0] == "autoattack"]


def test_an_autoattack_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = object()
    monkeypatch.setitem(sys.modules, "autoattack", theirs)
    import_robustbench("robustbench.utils")
    assert sys.modules["autoattack"] is theirs


@pytest.mark.parametrize("absent", ["robustbench", "pkg_resources"])
def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "robustbench"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(UserError, match=rf"{absent}.*pip install \"regmix-bench\[zoo\]\""):
        import_robustbench("robustbench.utils")


@pytest.mark.parametrize(
    ("name", "dataset", "norm", "message"),
    [
        ("Wong2020Fats", "cifar10", "Linf", "did you mean 'Wong2020Fast'"),
        (NAME, "digits", "Linf", "no models of 'digits', only of cifar10, cifar100, imagenet"),
        (NAME, "cifar100", "L2", "unknown RobustBench model of cifar100 and L2"),
    ],
)
def test_what_robustbench_does_not_have(
    tmp_path: Path, name: str, dataset: str, norm: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_zoo_model(name, dataset, norm, tmp_path)
    assert not any(tmp_path.iterdir())


def test_without_a_network_one_line_says_where_the_file_belongs(
    tmp_path: Path, offline: None
) -> None:
    with pytest.raises(UserError) as refused:
        load_zoo_model(NAME, "cifar10", "Linf", tmp_path)
    assert str(tmp_path / "cifar10" / "Linf" / f"{NAME}.pt") in str(refused.value)
    assert "cannot download Wong2020Fast" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    weights_file(tmp_path).write_bytes(content)
    with pytest.raises(UserError, match=r"Wong2020Fast\.pt does not hold the weights") as refused:
        load_zoo_model(NAME, "cifar10", "Linf", tmp_path)
    assert "\n" not in str(refused.value)


def test_a_loader_that_leaves_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(1)

    utils = import_robustbench("robustbench.utils")
    monkeypatch.setattr(utils, "load_model", leave)
    with pytest.raises(UserError, match="does not hold the weights of Wong2020Fast: SystemExit"):
        load_zoo_model(NAME, "cifar10", "Linf", tmp_path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, weights_file(tmp_path))
    with pytest.raises(UserError, match=r"Wong2020Fast\.pt does not hold the weights"):
        load_zoo_model(NAME, "cifar10", "Linf", tmp_path)
