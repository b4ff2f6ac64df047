"""Models of timm: architectures like any other, built offline, and one line where they are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.models import ARCHS, build_model
from regmix_bench.models.fusion import FusedModel
from regmix_bench.models.timm_models import timm_model
from regmix_bench.models.weights import load_checkpoint, load_weights, save_checkpoint
from regmix_bench.specs.components import parse_component

pytest.importorskip("timm")

#: A transformer that is made for one size of image, and a network whose batch norm also activates.
SIZES = {"test_vit": {"img_size": (32, 32)}, "mobilenetv3_small_050": {}}
MODELS = list(SIZES)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 48, 48)])
def test_a_model_has_our_normalisation_the_channels_and_the_classes(
    tmp_path: Path, model: str, shape: tuple[int, int, int]
) -> None:
    arch, component = parse_component("arch", ARCHS, f"timm:{model}")
    assert (arch, component) == (f"timm-{model}", None)
    mean, std = [0.3] * shape[0], [0.2] * shape[0]
    built = build_model(arch, shape, 7, mean, std)
    images = torch.rand(3, *shape, requires_grad=True)
    built.eval()
    logits = built(images)
    assert logits.shape == (3, 7)
    bare = build_model(arch, shape, 7, [0.0] * shape[0], [1.0] * shape[0]).eval()
    state = built.state_dict()
    bare.load_state_dict({k: v for k, v in state.items() if "normalise" not in k}, strict=False)
    torch.testing.assert_close(bare((images - 0.3) / 0.2), logits, rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(logits.sum(), images)[0].abs().sum() > 0
    path = tmp_path / "weights.safetensors"
    loaded = load_checkpoint(path, save_checkpoint(path, built, arch, shape, 7))
    assert torch.equal(loaded(images), logits)


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_timms_own_draw_and_follow_the_seed(model: str) -> None:
    timm = importlib.import_module("timm")
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(build_model(f"timm-{model}", (3, 32, 32), 5).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert any(not torch.equal(states[0][key], states[2][key]) for key in states[0])
    torch.manual_seed(1)
    theirs = timm.create_model(model, pretrained=False, num_classes=0, **SIZES[model]).state_dict()
    assert all(torch.equal(states[0][f"trunk.0.{key}"], theirs[key]) for key in theirs)


@pytest.mark.parametrize("model", MODELS)
def test_the_copy_for_attacks_is_the_same_function(model: str) -> None:
    built = build_model(f"timm-{model}", (3, 32, 32), 5)
    built(torch.rand(8, 3, 32, 32))  # moves the statistics of the batch norms
    built.eval()
    images = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(FusedModel(built)(images), built(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "shape", "message"),
    [
        (
            "timm:resnet5O",
            (3, 32, 32),
            r"unknown model of timm 'resnet5O': did you mean 'resnet50'",
        ),
        ("timm:", (3, 32, 32), "unknown model of timm ''"),
        ("timm:resnet50.a1_in1k", (3, 32, 32), "not loaded: write timm:resnet50$"),
        ("timm:test_vit", (3, 8, 8), r"timm:test_vit does not take images of shape \(3, 8, 8\)"),
        ("timm:vgg11", (1, 8, 8), r"timm:vgg11 does not take images of shape \(1, 8, 8\)"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    arch: str, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        build_model(parse_component("arch", ARCHS, arch)[0], shape, 5)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("arch", ["timm:resnet18", "timm-resnet18"])
def test_without_timm_the_line_says_what_to_install(
    arch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "timm" else found(name)
    )
    timm_model.cache_clear()
    with pytest.raises(UserError, match=r'pip install "regmix-bench\[timm\]"'):
        parse_component("arch", ARCHS, arch)


@pytest.mark.parametrize("model", MODELS)
def test_the_state_of_timms_model_alone_has_no_normalisation(model: str) -> None:
    timm = importlib.import_module("timm")
    built = build_model(f"timm-{model}", (3, 32, 32), 5)
    theirs = timm.create_model(model, pretrained=False, num_classes=5, **SIZES[model])
    with pytest.raises(UserError, match="state of timm's model alone, without the normalisation"):
        load_weights(built, theirs.state_dict(), "theirs.pt")
