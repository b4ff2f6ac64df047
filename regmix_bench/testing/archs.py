"""The contract of architectures."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from regmix_bench.models.classifier import ImageClassifier
from regmix_bench.models.weights import load_weights, read_weights, save_checkpoint
from regmix_bench.testing.contract import (
    Broken,
    Rule,
    Subject,
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    require,
)
from regmix_bench.testing.samples import images, same, state_of

#: Images and classes that a network is tried on: those of digits and of CIFAR-10, and odd ones.
SIZES = (((1, 8, 8), 10), ((3, 32, 32), 10), ((2, 12, 20), 7))
COUNT = 5
#: The share of the largest logit by which one image's may differ between batches, by rounding.
ROUNDING = 1e-4

Sizes = tuple[tuple[int, int, int], int]


def it_builds_for_images_of_some_size(subject: Subject) -> None:
    """Require an image classifier for at least one of the sizes that it is tried on."""
    for _ in _built(subject):
        return
    shapes = ", ".join(str(shape) for shape, _ in SIZES)
    raise Broken(f"it builds for none of the shapes {shapes}")


def logits_are_the_classifier_of_the_features(subject: Subject) -> None:
    """Look at shapes, dtypes and values of a forward pass, in both floating-point types."""
    for model, (shape, classes) in _built(subject):
        for dtype in (torch.float32, torch.float64):
            model = model.to(dtype).eval()
            x = images(COUNT, shape, dtype)
            with torch.no_grad():
                features, logits = model.features(x), model(x)
            expected = (COUNT, classes)
            require(logits.shape == expected, f"logits are {tuple(logits.shape)}, not {expected}")
            require(features.ndim == 2, f"features are {tuple(features.shape)}, not (B, F)")
            require(logits.dtype == dtype, f"logits are {logits.dtype} of images in {dtype}")
            require(bool(logits.isfinite().all()), "a logit is not finite")
            classified = model.classifier(features)
            require(_close(classified, logits), "classifier(features(x)) is not model(x)")


def images_are_normalised_by_what_it_is_given(subject: Subject) -> None:
    """Build with the statistics of some images, and look for them in the first layer."""
    for shape, classes in SIZES:
        channels = shape[0]
        mean = [0.1 + 0.2 * place for place in range(channels)]
        std = [0.3 + 0.1 * place for place in range(channels)]
        if (model := _build(subject, (shape, classes), mean, std)) is None:
            continue
        found = model.normalise.mean.flatten().tolist(), model.normalise.std.flatten().tolist()
        kept = torch.allclose(torch.tensor(found), torch.tensor((mean, std)))
        require(kept, f"it has the means and deviations {found}, and was given {(mean, std)}")


def gradients_reach_the_image_and_every_weight(subject: Subject) -> None:
    """Differentiate a scalar of the logits in training mode."""
    for model, (shape, _) in _built(subject):
        model = model.double().train()
        x = images(2 * COUNT, shape, torch.float64).requires_grad_()
        model(x).square().sum().backward()
        require(x.grad is not None and bool(x.grad.any()), "no gradient reaches the images")
        for name, weight in model.named_parameters():
            reached = weight.grad is not None and bool(weight.grad.any())
            require(reached, f"no gradient reaches {name}")


def an_image_is_judged_alone_in_evaluation_mode(subject: Subject) -> None:
    """Compare its logits alone, in a batch, and a second time; and the state before and after."""
    for model, (shape, _) in _built(subject):
        x = images(COUNT, shape)
        with torch.no_grad():
            model.train()(images(4 * COUNT, shape, seed=2))  # so that batch statistics are some
            model.eval()
            before = state_of(model)
            together = model(x)
            require(torch.equal(model(x), together), "a second pass gives other logits")
            alone = torch.cat([model(image[None]) for image in x])
            require(_close(alone, together), "an image's logits depend on the others of its batch")
        same(state_of(model), before, "after passes in evaluation mode")


def a_seed_fixes_the_weights(subject: Subject) -> None:
    """Build twice from one state of torch's global generator, and once from another."""
    for size in SIZES:
        states = []
        for seed in (1, 1, 2):
            if (model := _build(subject, size, seed=seed)) is None:
                break
            states.append(state_of(model))
        else:
            same(states[1], states[0], "built a second time from the same seed")
            other = any(not torch.equal(states[2][key], value) for key, value in states[0].items())
            require(other, "another seed gives the same weights")


def saved_weights_fill_another_model(subject: Subject) -> None:
    """Save a model, fill another with the file's tensors, and compare their logits."""
    for model, size in _built(subject):
        shape, classes = size
        other = _build(subject, size, seed=5)
        assert other is not None
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = Path(folder, "weights.safetensors")
            save_checkpoint(path, model, subject.name, shape, classes)
            load_weights(other, read_weights(path).tensors, "the file")
            x = images(COUNT, shape)
            require(torch.equal(other.eval()(x), model.eval()(x)), "the logits differ")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    it_builds_for_images_of_some_size,
    logits_are_the_classifier_of_the_features,
    images_are_normalised_by_what_it_is_given,
    gradients_reach_the_image_and_every_weight,
    an_image_is_judged_alone_in_evaluation_mode,
    a_seed_fixes_the_weights,
    saved_weights_fill_another_model,
)


def _built(subject: Subject) -> Iterator[tuple[ImageClassifier, Sizes]]:
    """Yield a model for each of the sizes that the architecture takes."""
    for size in SIZES:
        if (model := _build(subject, size)) is not None:
            yield model, size


def _build(
    subject: Subject,
    size: Sizes,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    seed: int = 0,
) -> ImageClassifier | None:
    """Return a model, or None where the architecture refuses the size by a ``ValueError``."""
    shape, classes = size
    half = [0.5] * shape[0]
    torch.manual_seed(seed)
    try:
        model = subject.create().build(shape, classes, mean or half, std or half)
    except ValueError:
        return None
    right = isinstance(model, ImageClassifier)
    require(right, f"it builds a {type(model).__name__}, not an ImageClassifier")
    built: ImageClassifier = model
    return built


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return bool((found - expected).abs().max() <= ROUNDING * expected.abs().max())
