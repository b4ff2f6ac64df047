from __future__ import annotations

import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.models import ARCHS, build_model

# The wide networks share their code with preactresnet18, which is cheap enough to run.
CHEAP = ["smallcnn", "resnet8", "resnet18", "preactresnet18"]


@pytest.mark.parametrize(
    ("arch", "shape", "count"),
    [
        ("smallcnn", (1, 8, 8), 38_330),
        ("resnet8", (3, 32, 32), 308_650),
        ("resnet18", (3, 32, 32), 11_173_962),
        ("preactresnet18", (3, 32, 32), 11_172_170),
        ("wrn-28-10", (3, 32, 32), 36_479_194),
        ("wrn-34-10", (3, 32, 32), 46_160_474),
    ],
)
def test_parameter_counts(arch: str, shape: tuple[int, int, int], count: int) -> None:
    with torch.device("meta"):
        model = build_model(arch, shape, 10)
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize("arch", CHEAP)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 8, 8), torch.float32),
        ((2, 13, 21), torch.float32),
        ((2, 13, 21), torch.float64),
        ((3, 64, 64), torch.float32),
    ],
)
def test_logits_are_the_classifier_of_the_features(
    arch: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    model = build_model(arch, shape, 7).to(dtype).eval()
    x = torch.rand(2, *shape, dtype=dtype)
    features, logits = model.features(x), model(x)
    assert logits.shape == (2, 7)
    assert features.shape == (2, model.classifier.in_features)
    assert logits.dtype == features.dtype == dtype
    torch.testing.assert_close(model.classifier(features), logits)
    assert logits.std() > 0


def test_wide_network_runs() -> None:
    model = build_model("wrn-28-10", (1, 8, 8), 3).eval()
    assert model.features(torch.rand(1, 1, 8, 8)).shape == (1, 640)


@pytest.mark.parametrize("arch", CHEAP)
def test_weights_do_not_depend_on_the_image_size(arch: str) -> None:
    small, large = build_model(arch, (3, 8, 8), 10), build_model(arch, (3, 64, 64), 10)
    large.load_state_dict(small.state_dict())
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(large.eval()(x), small.eval()(x))


@pytest.mark.parametrize("arch", CHEAP)
def test_every_parameter_receives_a_gradient(arch: str) -> None:
    torch.manual_seed(0)
    model = build_model(arch, (1, 8, 8), 10).double()
    x = torch.rand(8, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    model(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


def test_normalisation_is_the_first_layer() -> None:
    torch.manual_seed(0)
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    model = build_model("smallcnn", (3, 8, 8), 10, mean, std).double().eval()
    x = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    # The constants are stored in float32.
    by_hand = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    torch.testing.assert_close(model.normalise(x), by_hand, rtol=1e-6, atol=1e-6)
    assert torch.equal(model.features(x), model.trunk(model.normalise(x)))


def test_normalisation_is_saved_with_the_weights() -> None:
    trained = build_model("smallcnn", (1, 8, 8), 10, [0.3], [0.4])
    loaded = build_model("smallcnn", (1, 8, 8), 10)
    loaded.load_state_dict(trained.state_dict())
    assert loaded.normalise.mean.item() == pytest.approx(0.3)
    assert loaded.normalise.std.item() == pytest.approx(0.4)


def test_a_constant_channel_stays_finite() -> None:
    model = build_model("smallcnn", (1, 8, 8), 10, [0.0], [0.0])
    assert model(torch.rand(2, 1, 8, 8)).isfinite().all()


def test_same_seed_same_weights() -> None:
    def weights() -> torch.Tensor:
        torch.manual_seed(3)
        model = build_model("resnet8", (1, 8, 8), 10)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(), weights())


def test_unknown_architecture_names_the_nearest() -> None:
    with pytest.raises(
        UserError, match="unknown architecture 'resnet-18': did you mean 'resnet18'"
    ):
        build_model("resnet-18", (3, 32, 32), 10)
    assert "resnet-18" not in ARCHS.names()


@pytest.mark.parametrize(("mean", "std"), [([0.5], None), (None, [0.5, 0.5]), ([0.5] * 4, [0.5])])
def test_one_constant_per_channel(mean: list[float] | None, std: list[float] | None) -> None:
    with pytest.raises(ValueError, match="3 channels"):
        build_model("smallcnn", (3, 8, 8), 10, mean, std)
