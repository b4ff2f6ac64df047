"""Weights on disk: what is written is what loads, and nothing else does."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError
from regmix_bench.models import build_model
from regmix_bench.models.weights import (
    load_checkpoint,
    load_weights,
    read_weights,
    save_checkpoint,
    state_digest,
)

SHAPE = (1, 8, 8)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "selected-0001.safetensors"
    model = build_model("smallcnn", SHAPE, 4, mean=[0.3], std=[0.2])
    return path, save_checkpoint(path, model, "smallcnn", SHAPE, 4)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_checkpoint_loads_as_it_was_saved_in_eval_mode(tmp_path: Path) -> None:
    model = build_model("resnet8", (3, 16, 16), 5, [0.1, 0.2, 0.3], [0.2, 0.2, 0.2])
    model(torch.rand(4, 3, 16, 16))  # moves the statistics of the batch norms
    path = tmp_path / "selected-0001.safetensors"
    digest = save_checkpoint(path, model, "resnet8", (3, 16, 16), 5)

    loaded = load_checkpoint(path, digest)

    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.training
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded(x), model.eval()(x))


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint at .*gone"):
        load_checkpoint(tmp_path / "gone.safetensors", "0" * 64)


def test_one_altered_bit_is_refused(saved) -> None:
    path, digest = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the recorded one"):
        load_checkpoint(path, digest)


class Tied(nn.Module):
    """Two layers that share their weight, and two that share all of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.norm = self.again = nn.BatchNorm2d(2)


@pytest.mark.parametrize("counts", [True, False])
def test_what_torch_and_safetensors_load_strictly_loads(tmp_path: Path, counts: bool) -> None:
    """Tied tensors saved once, by either name, and norms without their count of batches."""
    saved = Tied()
    saved.norm.running_mean.fill_(7)
    path = tmp_path / "tied.safetensors"
    safetensors.torch.save_model(saved, str(path))
    once = safetensors.torch.load_file(path)
    others = {
        {"first.weight": "second.weight"}.get(key, key.replace("again.", "norm.")): value
        for key, value in once.items()
    }
    for tensors in (once, others):
        assert len(tensors) < len(saved.state_dict())
        kept = {k: v for k, v in tensors.items() if counts or not k.endswith("batches_tracked")}
        model = Tied()
        load_weights(model, kept, "tied")
        assert state_digest(model) == state_digest(saved)
        assert model.second.weight is model.first.weight


@pytest.mark.parametrize("average", [torch.Tensor.float, torch.Tensor.half])
def test_a_count_of_batches_may_be_averaged_as_weights_are(
    average: Callable[[Tensor], Tensor],
) -> None:
    """An average of states, or all of one in half precision, has a count that is no integer."""
    saved = Tied()
    model = Tied()
    load_weights(model, {key: average(value) for key, value in saved.state_dict().items()}, "ema")
    assert model.norm.num_batches_tracked.dtype == torch.int64
    torch.testing.assert_close(model.first.weight, saved.first.weight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("lacking", ["second.bias", "norm.running_var"])
def test_a_missing_tensor_of_its_own_is_named(lacking: str) -> None:
    tensors = Tied().state_dict()
    del tensors[lacking]
    tensors.pop(lacking.replace("norm.", "again."), None)
    with pytest.raises(UserError, match=rf"does not fit the model: \d missing \(.*{lacking}"):
        load_weights(Tied(), tensors, "tied")


def test_tied_weights_are_saved_and_load(tmp_path: Path) -> None:
    model = build_model("smallcnn", SHAPE, 4, mean=[0.3], std=[0.2])
    model.trunk.append(nn.Linear(64, 64)).append(nn.Linear(64, 64))
    model.trunk[-1].weight = model.trunk[-2].weight
    save_checkpoint(tmp_path / "tied.safetensors", model, "smallcnn", SHAPE, 4)
    tensors = read_weights(tmp_path / "tied.safetensors").tensors
    assert tensors.keys() == model.state_dict().keys()


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_pickle_is_refused_and_never_run(tmp_path: Path, recorded: bool) -> None:
    target, path = tmp_path / "owned", tmp_path / "selected-0001.safetensors"
    digest = written(path, pickle.dumps(Payload(target)))
    with pytest.raises(UserError) as refused:
        load_checkpoint(path, digest if recorded else "0" * 64)
    assert "\n" not in str(refused.value)
    assert not target.exists()


def foreign_files() -> dict[str, bytes]:
    weights = build_model("smallcnn", SHAPE, 4).state_dict()
    about = '{"arch": "smallcnn", "image_shape": [1, 8, 8], "num_classes": 4}'
    save = safetensors.torch.save
    return {
        "nothing": b"",
        "noise": b"\xff" * 100,
        "no description": save(weights),
        "no JSON": save(weights, {"model": "{"}),
        "a list": save(weights, {"model": "[]"}),
        "an unknown arch": save(weights, {"model": about.replace("smallcnn", "largecnn")}),
        "another class count": save(weights, {"model": about.replace("4}", "5}")}),
        "a shape of two": save(weights, {"model": about.replace("[1, 8, 8]", "[8, 8]")}),
        "a class count in words": save(weights, {"model": about.replace("4}", '"four"}')}),
        "a weight too few": save(dict(list(weights.items())[1:]), {"model": about}),
    }


@pytest.mark.parametrize("kind", foreign_files())
def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "selected-0001.safetensors"
    digest = written(path, foreign_files()[kind])
    with pytest.raises(UserError) as refused:
        load_checkpoint(path, digest)
    assert "\n" not in str(refused.value)
