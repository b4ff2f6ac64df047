"""Saved adversarial images: bit for bit, part by part, and refused when they are something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.records.adversarial import SavedImages, read_adversarial, write_adversarial
from regmix_bench.system.files import file_digest
from regmix_bench.types import ThreatModel

LINF, L2 = ThreatModel("Linf", "8/255"), ThreatModel("L2", "0.5")


def part(n: int, threat: ThreatModel = LINF, attack: str = "apgd-ce", seed: int = 0) -> SavedImages:
    generator = torch.Generator().manual_seed(seed)
    index = torch.randperm(10_000, generator=generator)[:n]
    return SavedImages(threat, attack, index, torch.rand(n, 3, 4, 5, generator=generator))


def same(a: SavedImages, b: SavedImages) -> bool:
    """Equal down to the bits, where -0.0 is not 0.0 and one NaN is not another."""
    bits = [saved.images.numpy().view(np.uint32) for saved in (a, b)]
    about = [(saved.threat, saved.attack, saved.images.shape) for saved in (a, b)]
    return about[0] == about[1] and torch.equal(a.index, b.index) and np.array_equal(*bits)


def test_parts_come_back_as_they_were(tmp_path: Path) -> None:
    parts = [part(7), part(1, attack="pgd", seed=1), part(300, L2, "fab-t", seed=2)]
    path = tmp_path / "folder" / "adversarial.parquet"
    assert write_adversarial(path, iter(parts)) == file_digest(path)
    back = list(read_adversarial(path))
    assert len(back) == 3 and all(map(same, parts, back))
    assert [str(saved.threat) for saved in back] == ["Linf 8/255", "Linf 8/255", "L2 0.5"]


def test_every_bit_pattern_of_float32_survives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 4 * 3 * 4 * 5, dtype=np.uint32)
    bits[:6] = [0, 0x8000_0000, 0x7FC0_0001, 0xFFC0_0000, 0x7F80_0000, 1]
    images = torch.from_numpy(bits.view(np.float32).reshape(4, 3, 4, 5))
    odd = SavedImages(LINF, "square", torch.arange(4), images)
    write_adversarial(tmp_path / "a.parquet", [odd])
    (back,) = read_adversarial(tmp_path / "a.parquet")
    assert same(odd, back)


def test_the_same_parts_make_the_same_file(tmp_path: Path) -> None:
    digests = {write_adversarial(tmp_path / name, [part(5)]) for name in ("a.parquet", "b.parquet")}
    assert len(digests) == 1
    assert write_adversarial(tmp_path / "c.parquet", [part(5, seed=1)]) not in digests


def test_a_model_that_nothing_broke_has_a_file_without_images(tmp_path: Path) -> None:
    write_adversarial(tmp_path / "a.parquet", [])
    assert list(read_adversarial(tmp_path / "a.parquet")) == []


def test_images_moved_by_epsilon_take_well_under_half_the_room(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(0, 256, (64, 3, 32, 32), generator=generator) / 255
    moved = clean + 8 / 255 * torch.randn(clean.shape, generator=generator).sign()
    path = tmp_path / "a.parquet"
    write_adversarial(path, [SavedImages(LINF, "pgd", torch.arange(64), moved.clamp(0, 1))])
    assert path.stat().st_size < 0.5 * 4 * moved.numel()


def test_parts_are_asked_for_and_handed_out_one_at_a_time(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.parquet", []

    def parts() -> Iterator[SavedImages]:
        for seed in range(3):
            rows.append(sum(1 for _ in tmp_path.glob(".tmp-*")))
            yield part(400, seed=seed)  # more than a buffer holds

    write_adversarial(path, parts())
    # The first is awaited before anything is opened, the others while the file is being written.
    assert rows == [0, 1, 1]
    assert pq.ParquetFile(path).num_row_groups == 3
    reader = read_adversarial(path)
    next(reader)
    path.write_bytes(b"")  # the rest has not been read yet
    with pytest.raises(UserError):
        list(reader)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    digest = write_adversarial(path, [part(4)])

    def failing() -> Iterator[SavedImages]:
        yield part(4, seed=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_adversarial(path, failing())
    assert file_digest(path) == digest and list(tmp_path.iterdir()) == [path]


def test_images_of_two_shapes_are_a_bug(tmp_path: Path) -> None:
    other = SavedImages(LINF, "pgd", torch.arange(2), torch.rand(2, 1, 4, 5))
    with pytest.raises(ValueError, match=r"\(1, 4, 5\)"):
        write_adversarial(tmp_path / "a.parquet", [part(4), other])
    assert list(tmp_path.iterdir()) == []


def _cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def _rewrite(path: Path, **columns: object) -> None:
    table = pq.read_table(path)
    metadata = table.schema.metadata
    for name, values in columns.items():
        if values is None:
            table = table.drop_columns([name])
        else:
            field = table.schema.field(name)
            place = table.schema.get_field_index(name)
            table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table.replace_schema_metadata(metadata), path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "no adversarial images at"),
        (lambda path: path.write_bytes(b""), "does not hold adversarial images"),
        (lambda path: path.write_text("not Parquet at all"), "does not hold adversarial images"),
        (lambda path: _cut(path, 0.99), "does not hold adversarial images"),
        (lambda path: _cut(path, 0.5), "does not hold adversarial images"),
        (lambda path: _rewrite(path, attack=None), "its columns are norm, epsilon, index, image"),
        (lambda path: _rewrite(path, norm=["Linf"] * 5 + ["L2"]), "one threat and attack"),
        (lambda path: _rewrite(path, norm=["L3"] * 6), "unknown norm 'L3'"),
        (lambda path: _rewrite(path, epsilon=["0"] * 6), "epsilon '0' is not above zero"),
        (lambda path: _rewrite(path, image=[[0.5] * 60] * 5 + [[0.5] * 59]), "60 values"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, spoil, reason: str) -> None:
    path = tmp_path / "a.parquet"
    write_adversarial(path, [part(6)])
    spoil(path)
    with pytest.raises(UserError) as refused:
        list(read_adversarial(path))
    assert reason in str(refused.value) and str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
