"""What scoring survives: attacks that do not fit or fail, models of any precision and habit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.harness import Answer, cli

from regmix_bench.attacks import ATTACKS
from regmix_bench.attacks.protocol import Attack
from regmix_bench.types import ThreatModel

Tell = Callable[[Answer, str], None]
NOTHING = "nothing is trained and nothing written"
SCORED = "the score, as a record"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def save_images(n: int, height: int = 8, width: int = 8) -> str:
    labels = np.arange(n) % 2
    images = np.random.default_rng(0).integers(0, 256, (n, height, width), np.uint8)
    parts = {"train_images": images, "train_labels": labels}
    parts |= {"val_images": images[:4], "val_labels": labels[:4]}
    np.savez("data.npz", **parts, test_images=images[:6], test_labels=labels[:6])
    return "npz:data.npz"


def train(dataset: str, *options: object, arch: str = "smallcnn") -> Answer:
    grid = ("--methods", "standard", "--archs", arch, "--datasets", dataset, "--device", "cpu")
    return cli("run", *grid, "--set", "recipe.epochs=1", *options)


@pytest.mark.parametrize("size", ["14x14", "32x48", "4x4"])
@pytest.mark.parametrize("dry", [True, False], ids=["dry", "run"])
def test_an_attack_that_does_not_fit_the_images(tell: Tell, size: str, dry: bool) -> None:
    dataset = save_images(12, *map(int, size.split("x")))
    found = train(
        dataset, "--norm", "L2", "--eps", "0.5", *(("--dry-run",) if dry else ()), arch="resnet8"
    )
    assert found.status == 2 and "attack 'square' is not defined under L2" in found.words
    assert not Path("results").exists()
    tell(found, NOTHING)


class Failing(Attack):
    """Raises, or leaves the threat model."""

    name = "failing"
    leaves = False

    def perturb(self, model: Any, x: Any, y: Any, threat: ThreatModel, *, seed: int) -> Any:
        return 1 - x if Failing.leaves else x.undefined


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves the threat", "raises"])
def test_an_attack_that_fails(tell: Tell, monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    monkeypatch.setattr(ATTACKS, "registered", {"failing": Failing})
    monkeypatch.setattr(Failing, "leaves", leaves)
    found = train(save_images(12), "--eps", "1/255", "--attacks", "fgsm,failing")
    assert found.status == 0 and "failing failed" in found.out
    tell(found, "the other scores, and no number that is called the whole ensemble's")


BODY = """import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    def forward(self, x):
        {forward}
"""


def scored(module: str, forward: str) -> Answer:
    Path(f"{module}.py").write_text(BODY.format(forward=forward))
    return cli(
        *("eval", f"{module}:Net", "--dataset", "digits", "--eps", "8/255", "--device", "cpu"),
        *("--eval-examples", "10", "--attacks", "fgsm,fab-t[n_iter=2],square[n_queries=5]"),
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "half", "double"])
def test_logits_of_another_precision(tell: Tell, dtype: str) -> None:
    found = scored(f"fault_{dtype}", f"return self.net(x).{dtype}()")
    assert found.status == 0 and "raised" not in found.out
    tell(found, SCORED)


@pytest.mark.parametrize(
    "answer",
    ["(self.net(x), x)", "self.net(x).long()", "self.net(x) / 0", "self.net(x).to('meta')"],
)
def test_what_is_no_logits(tell: Tell, answer: str) -> None:
    found = scored(f"fault_{abs(hash(answer))}", f"return {answer}")
    assert found.status == 2 and "the model returns" in found.words
    tell(found, "nothing is attacked and nothing written")


BATCHWISE = {
    "mean": "z = self.net(x); return z - z.mean(0)",
    "brightest": "return self.net(x / x.max())",
    "place": "return self.net(x) + torch.arange(len(x))[:, None] * torch.eye(10)[0]",
}


@pytest.mark.parametrize("name", BATCHWISE)
def test_a_model_that_looks_at_its_batch(tell: Tell, name: str) -> None:
    found = scored(f"fault_batch_{name}", BATCHWISE[name])
    assert found.status == 0 and "raised: batch-dependent-model" in found.out
    tell(found, "the score, with the check that says what it is worth")


@pytest.mark.parametrize("kind", ["module", "package"])
def test_an_import_inside_a_forward(tell: Tell, kind: str) -> None:
    helper = f"fault_helper_{kind}"
    file = Path(f"{helper}.py") if kind == "module" else Path(helper, "__init__.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text("def twice(z): return 2 * z\n")
    found = scored(f"fault_import_{kind}", f"import {helper}; return {helper}.twice(self.net(x))")
    assert found.status == 0
    tell(found, SCORED)


@pytest.mark.parametrize("n", [5, 9])
def test_a_batch_of_one_image(tell: Tell, n: int) -> None:
    """Of which batch norm has no statistics where the network has shrunk it to one pixel."""
    found = train(
        save_images(n),
        *("--eps", "8/255", "--attacks", "fgsm", "--set", "recipe.batch_size=2"),
        arch="preactresnet18",
    )
    assert found.status == 0, found
    tell(found, "the run, in which a batch of three has the image that was left alone")
