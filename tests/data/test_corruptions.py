"""Corrupted images: made here, each by its own pixels, or read from the official arrays."""

from __future__ import annotations

import random
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from regmix_bench.data import EvalData
from regmix_bench.data.corruptions import FOLDER, Made, corrupted
from regmix_bench.errors import UserError
from regmix_bench.specs.corruptions import ARRAYS, CORRUPTIONS

CPU = torch.device("cpu")


def some_images(n: int = 3, side: int = 32, channels: int = 3) -> EvalData:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, channels, 4, 4, generator=generator)
    x = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return EvalData(x, torch.arange(n) % 10, torch.arange(n), "d" * 64, 10)


def part(test: EvalData, at: slice) -> EvalData:
    return EvalData(test.x[at], test.y[at], test.index[at], test.digest, 10)


@pytest.fixture(scope="module")
def made() -> dict[str, Tensor]:
    """Three images at severity 4 by corruption, made after other random numbers were drawn."""
    np.random.rand(7), random.random()
    return {name: Made(some_images(), seed=0).images(name, 4) for name in CORRUPTIONS}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_an_image_is_the_same_on_every_run_and_beside_any_other(made, corruption: str) -> None:
    alone = Made(part(some_images(), slice(1, 2)), seed=0)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    again = alone.images(corruption, 4)
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    found = made[corruption]
    assert torch.equal(found[1:2], again)
    assert found.shape == (3, 3, 32, 32) and found.dtype == torch.float32
    assert not torch.equal(found, some_images().x)


@pytest.mark.parametrize("corruption", ["gaussian_noise", "glass_blur", "impulse_noise", "fog"])
def test_another_seed_makes_another_image(made, corruption: str) -> None:
    assert not torch.equal(made[corruption], Made(some_images(), seed=1).images(corruption, 4))


def test_an_image_of_one_channel_keeps_it() -> None:
    gray = Made(some_images(1, channels=1), seed=0)
    for corruption in ("gaussian_noise", "frost", "jpeg_compression"):
        assert gray.images(corruption, 2).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (some_images(side=28), "32×32 pixels or more, and these are 28×28"),
        (some_images(channels=4), "of 1 or 3 channels, not of 4"),
    ],
)
def test_images_for_which_there_are_no_corruptions_are_refused(test: EvalData, said: str) -> None:
    with pytest.raises(UserError, match=said):
        corrupted("made", "mine", test, 0, None)


def test_where_the_package_is_missing_a_line_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    with pytest.raises(UserError, match=r'pip install "regmix-bench\[corruptions\]"') as error:
        corrupted("made", "mine", some_images(), 0, None)
    assert "\n" not in str(error.value)


def write_arrays(folder: Path, n: int = 20) -> None:
    """Arrays of n test images of 4×4 pixels, whose pixels are those of their row."""
    (folder / FOLDER).mkdir(parents=True)
    rows = np.arange(5 * n, dtype=np.uint8)
    for name in CORRUPTIONS:
        images = np.broadcast_to(rows[:, None, None, None], (5 * n, 4, 4, 3))
        np.save(folder / FOLDER / f"{name}.npy", images)
    np.save(folder / FOLDER / "labels.npy", np.tile(np.arange(n) % 10, 5))


def small(n: int = 20) -> EvalData:
    return EvalData(torch.rand(n, 3, 4, 4), torch.arange(n) % 10, torch.arange(n), "d" * 64, 10)


def test_the_official_rows_are_those_of_the_images_that_are_scored(tmp_path: Path) -> None:
    write_arrays(tmp_path)
    found = corrupted("cifar10c", "cifar10", part(small(), slice(4, 7)), 0, tmp_path)
    pixels = found.images("fog", 3)[:, 0, 0, 0] * 255
    assert pixels.tolist() == pytest.approx([44, 45, 46])


def test_an_origin_is_the_rows_that_are_scored(tmp_path: Path) -> None:
    write_arrays(tmp_path)

    def origin(at: slice) -> str:
        (name, digest), *others = corrupted(
            "cifar10c", "cifar10", part(small(), at), 0, tmp_path
        ).origin.items()
        assert name == ARRAYS and not others
        return digest

    few, all_of_them = origin(slice(4, 7)), origin(slice(0, 20))
    assert len({few, all_of_them}) == 2 and len(few) == 64
    fog = np.load(tmp_path / FOLDER / "fog.npy")
    fog[2 * 20 + 9] += 1  # of the image 9 at severity 3
    np.save(tmp_path / FOLDER / "fog.npy", fog)
    assert origin(slice(4, 7)) == few and origin(slice(0, 20)) != all_of_them


def test_an_origin_is_the_packages_that_make_images() -> None:
    origin = Made(some_images(), seed=0).origin
    for name in ("imagecorruptions-imaug", "scikit-image", "scipy", "pillow", "numba"):
        assert origin[name] == version(name)
    assert any(name.startswith("opencv-python") for name in origin)


def shorter(folder: Path) -> None:
    np.save(folder / "fog.npy", np.load(folder / "fog.npy")[:-5])


def not_fives(folder: Path) -> None:
    np.save(folder / "fog.npy", np.load(folder / "fog.npy")[:-3])


def floats(folder: Path) -> None:
    np.save(folder / "snow.npy", np.load(folder / "snow.npy") / 255)


def other_shape(folder: Path) -> None:
    np.save(folder / "frost.npy", np.load(folder / "frost.npy")[:, :3])


def other_labels(folder: Path) -> None:
    np.save(folder / "labels.npy", np.load(folder / "labels.npy")[::-1])


def other_labels_later(folder: Path) -> None:
    labels = np.load(folder / "labels.npy")
    labels[83] += 1
    np.save(folder / "labels.npy", labels)


def of_one_severity(folder: Path) -> None:
    for name in (*CORRUPTIONS, "labels"):
        np.save(folder / f"{name}.npy", np.load(folder / f"{name}.npy")[:20])


def one_label(folder: Path) -> None:
    np.save(folder / "labels.npy", np.array(3))


def missing(folder: Path) -> None:
    (folder / "pixelate.npy").unlink()


def cut_off(folder: Path) -> None:
    (folder / "contrast.npy").write_bytes((folder / "contrast.npy").read_bytes()[:200])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shorter, "fog.npy has 95 rows, and labels.npy has 100"),
        (not_fives, "fog.npy has 97 rows, which are not 5 severities"),
        (floats, "snow.npy does not hold 8-bit numbers"),
        (other_shape, r"frost.npy holds rows of shape \(3, 4, 3\), not \(4, 4, 3\)"),
        (other_labels, "labels.npy does not hold the labels of the test images"),
        (other_labels_later, "labels.npy does not hold .* once for each severity"),
        (of_one_severity, "labels.npy does not hold .* once for each severity"),
        (one_label, "labels.npy holds a single number"),
        (missing, "there is no .*pixelate.npy: put the files of CIFAR-10-C"),
        (cut_off, "cannot read .*contrast.npy"),
    ],
)
def test_arrays_of_other_images_are_refused_in_one_line(tmp_path: Path, spoil, said: str) -> None:
    write_arrays(tmp_path)
    spoil(tmp_path / FOLDER)
    with pytest.raises(UserError, match=said) as error:
        corrupted("cifar10c", "cifar10", small(), 0, tmp_path)
    assert "\n" not in str(error.value)


def test_the_official_arrays_are_of_cifar10_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cifar10c is of cifar10, not of digits"):
        corrupted("cifar10c", "digits", small(), 0, tmp_path)
