"""Models and data as people have them: scored, or refused in one line with nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.harness import Answer, cli

from regmix_bench.models import build_model

Tell = Callable[[Answer, str], None]
NOTHING = "nothing is written"
SCORED = "the score, as a record"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the weights of a model of two classes, and a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGMIX_BENCH_CACHE", str(tmp_path / "cache"))
    torch.save(state(), "weights.pt")
    return tmp_path


def state() -> dict[str, Any]:
    torch.manual_seed(0)
    return build_model("smallcnn", (1, 8, 8), 2).state_dict()


def images(n: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8), np.uint8)


def save(**changes: Any) -> str:
    labels = np.arange(8) % 2
    parts = {"test_images": images(), "test_labels": labels}
    parts |= {"train_images": images(), "train_labels": labels} | changes
    np.savez("data.npz", **{key: value for key, value in parts.items() if value is not None})
    return "npz:data.npz"


def tree(*splits: str) -> Path:
    for number, image in enumerate(images()):
        for split in splits:
            folder = Path("tree", split, "ab"[number % 2])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number}.png")
    return Path("tree")


def scored(dataset: str, weights: str = "weights.pt") -> Answer:
    given = ("--arch", "smallcnn", "--eps", "96/255", "--attacks", "fgsm", "--device", "cpu")
    return cli("eval", weights, "--dataset", dataset, *given)


def planned(*arguments: str) -> Answer:
    return cli("run", "--methods", "standard", "--eps", "8/255", "--device", "cpu", *arguments)


def require_refused(found: Answer, *said: str) -> None:
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    assert all(part in found.errors for part in said), found
    assert not Path("results").exists()


NO_TRAINING = {"train_images": None, "train_labels": None}


@pytest.mark.parametrize("kind", ["npz", "npz-val", "folder-val"])
def test_a_test_set_alone(tell: Tell, kind: str) -> None:
    validation = {"val_images": images(), "val_labels": np.arange(8) % 2}
    dataset = {
        "npz": lambda: save(**NO_TRAINING),
        "npz-val": lambda: save(**NO_TRAINING, **validation, test_images=None, test_labels=None),
        "folder-val": lambda: f"folder:{tree('val')}",
    }[kind]()
    require_refused(
        planned("--datasets", dataset, "--archs", "smallcnn"),
        "no training images: a run needs them",
    )
    found = scored(dataset)
    assert found.status == 0 and "fgsm" in found.out, found
    tell(found, SCORED + "; run refuses the data")


@pytest.mark.parametrize("command", ["eval", "run"])
def test_a_class_without_training_images(tell: Tell, command: str) -> None:
    dataset = save(train_labels=np.zeros(8, int))
    if command == "eval":
        found = scored(dataset)
        assert found.status == 0, found
        return tell(found, SCORED)
    found = planned("--datasets", dataset, "--archs", "smallcnn")
    require_refused(found, "class '1' of", "has no training image")
    return tell(found, NOTHING)


@pytest.mark.parametrize("kind", ["one state dict", "one inside another", "two state dicts"])
def test_an_ordinary_checkpoint(tell: Tell, kind: str) -> None:
    content = {
        "one state dict": {"net": state(), "epoch": 3},
        "one inside another": {"model": {"state_dict": state(), "name": "mine"}},
        "two state dicts": {"state_dict": state(), "state_dict_ema": state()},
    }[kind]
    torch.save(content, "weights.pt")
    found = scored(save())
    if kind == "two state dicts":
        require_refused(found, "several state dicts, state_dict, state_dict_ema")
        return tell(found, NOTHING)
    key = {"one state dict": "net", "one inside another": "model.state_dict"}[kind]
    assert found.status == 0 and f"weights: '{key}' of weights.pt" in found.out, found
    return tell(found, SCORED + ", with a line that says which key was taken")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model.net."])
def test_names_of_wrappers_in_keys(tell: Tell, prefix: str) -> None:
    torch.save({prefix + key: value for key, value in state().items()}, "weights.pt")
    found = scored(save())
    require_refused(found, f"without '{prefix}' before its keys it would")
    tell(found, NOTHING)


@pytest.mark.parametrize("name", ["Thumbs.db", "desktop.ini", "readme.txt", "broken.png"])
def test_a_file_beside_the_images_of_a_class(tell: Tell, name: str) -> None:
    (tree("test") / "test" / "a" / name).write_text("no image")
    found = scored("folder:tree")
    if name == "broken.png":
        require_refused(found, f"tree/test/a/{name}")
        return tell(found, NOTHING)
    assert (
        found.status == 0 and f"1 file in tree left out, not named as images: {name}\n" in found.out
    )
    return tell(found, SCORED + ", with a line that counts what was left out")


@pytest.mark.parametrize("kind", ["black and white", "17 greys", "a volume", "one-hot labels"])
def test_arrays_that_are_easily_misread(tell: Tell, kind: str) -> None:
    changes, said = {
        "black and white": ({"test_images": images() % 2, **NO_TRAINING}, "hold 0 to 1 alone"),
        "17 greys": ({"test_images": images() % 17, **NO_TRAINING}, "hold 0 to 16 alone"),
        "a volume": ({"test_images": np.zeros((8, 8, 8, 8)), **NO_TRAINING}, "volumes of 8 slices"),
        "one-hot labels": ({"test_labels": np.eye(2)[np.arange(8) % 2]}, "save its argmax(1)"),
    }[kind]
    found = scored(save(**changes))
    require_refused(found, said)
    tell(found, NOTHING)


@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_a_comma_in_a_path(tell: Tell, kind: str) -> None:
    Path("a, b").mkdir()
    save()
    tree("train", "test").rename("a, b/tree,too")
    Path("data.npz").rename("a, b/data,too.npz")
    name = {"npz": "npz:a, b/data,too.npz", "folder": "folder:a, b/tree,too"}[kind]
    found = planned("--datasets", f"{name},digits", "--archs", "smallcnn", "--dry-run")
    assert found.status == 0 and "2 runs" in found.out, found
    tell(found, "both data sets are planned")


@pytest.mark.parametrize(
    ("arch", "said"),
    [
        ("timm:resnet5O", "did you mean 'resnet50'?"),
        ("timm:resnet50.a1_in1k", "write timm:resnet50"),
        ("timm:vgg11", "does not take images of shape (1, 8, 8)"),
    ],
)
def test_a_model_of_timm_that_cannot_be_built(tell: Tell, arch: str, said: str) -> None:
    pytest.importorskip("timm")
    found = planned("--datasets", "digits", "--archs", arch)
    require_refused(found, said)
    tell(found, NOTHING)
