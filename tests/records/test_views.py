"""The file of views: whole, the same again, and nobody else's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from support.saved_views import make_views

from regmix_bench.errors import UserError
from regmix_bench.records.views import read_views, write_views
from regmix_bench.system.files import file_digest
from regmix_bench.types import ThreatModel


@pytest.mark.parametrize(
    "threat", [ThreatModel("Linf", "8/255"), ThreatModel("L2", "0.5")], ids=str
)
def test_what_is_written_is_read(tmp_path: Path, threat: ThreatModel) -> None:
    views = make_views(threat, shape=(3, 4, 6))
    digest = write_views(tmp_path / "views", views)
    found = read_views(tmp_path / "views", digest)
    assert found.threat == threat and str(found.threat.epsilon) == str(threat.epsilon)
    for field in fields(views)[1:]:
        ours, theirs = getattr(views, field.name), getattr(found, field.name)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert found.coordinates == pytest.approx([-1, -0.5, 0, 0.5, 1])


def test_the_same_views_give_the_same_bytes(tmp_path: Path) -> None:
    digests = {write_views(tmp_path / f"{n}", make_views(seed=3)) for n in range(5)}
    assert len(digests) == 1


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "views"
    digest = write_views(path, make_views())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"views is not the views file of its record: its SHA-256"):
        read_views(path, digest)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is missing: `regmix-bench inspect` makes it"):
        read_views(tmp_path / "views", "0" * 64)


def tensors(**changes: np.ndarray) -> dict[str, np.ndarray]:
    views = make_views()
    return {f.name: getattr(views, f.name) for f in fields(views)[1:]} | changes


GOOD = {"threat": '{"norm": "Linf", "epsilon": "8/255"}'}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"not safetensors", "header"),
        (safetensors.numpy.save(tensors()), "threat"),
        (safetensors.numpy.save(tensors(), {"threat": "8/255"}), "Extra data"),
        (safetensors.numpy.save(tensors(), {"threat": "[1]"}), "argument"),
        (
            safetensors.numpy.save(tensors(), {"threat": '{"norm": "L7", "epsilon": "1/2"}'}),
            "norm 'L7'",
        ),
        (safetensors.numpy.save({"index": np.zeros(3, np.int64)}, GOOD), "label"),
        (safetensors.numpy.save(tensors(index=np.zeros(7, np.int64)), GOOD), "label has 8"),
        (safetensors.numpy.save(tensors(label=np.zeros(8)), GOOD), "label is of float64"),
        (safetensors.numpy.save(tensors(loss=np.zeros((8, 5), np.float32)), GOOD), "with 2 axes"),
        (safetensors.numpy.save(tensors(loss=np.zeros((8, 0, 0), np.float32)), GOOD), "is empty"),
        (safetensors.numpy.save(tensors(loss=np.zeros((8, 1, 1), np.float32)), GOOD), "is empty"),
        (
            safetensors.numpy.save(tensors(loss=np.full((8, 5, 5), np.nan, np.float32)), GOOD),
            "loss holds a value that is not a finite number",
        ),
        (safetensors.numpy.save(tensors(label=np.full(8, -1)), GOOD), "label holds a class"),
        (safetensors.numpy.save(tensors(adv_pred=np.full(8, 10**6)), GOOD), "adv_pred holds a"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "views"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"views does not hold views of a run: .*{said}") as caught:
        read_views(path, file_digest(path))
    assert "\n" not in str(caught.value)
