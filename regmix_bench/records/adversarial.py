"""Saved adversarial images: float32 to the bit, compressed, written and read part by part."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from regmix_bench.errors import UserError
from regmix_bench.system.files import atomic_write, file_digest
from regmix_bench.system.reading import open_regular
from regmix_bench.types import ThreatModel

_SCHEMA = pa.schema(
    [
        pa.field("norm", pa.string(), nullable=False),
        pa.field("epsilon", pa.string(), nullable=False),
        pa.field("attack", pa.string(), nullable=False),
        pa.field("index", pa.int64(), nullable=False),
        pa.field(
            "image", pa.list_(pa.field("element", pa.float32(), nullable=False)), nullable=False
        ),
    ]
)

# An image moved by ±ε has few distinct values, which zstd finds and a split into bytes would hide:
# 39 % of the raw size instead of 71 % at 8/255 on CIFAR-10. It needs a whole part in one page.
_PAGE_BYTES = 1 << 30


#: In a part, where nobody says how many images there are.
MOST_IMAGES = 10**7

_UNREADABLE = (OSError, pa.ArrowException, ValueError, LookupError, TypeError, RecursionError)


@dataclass(frozen=True, eq=False)
class SavedImages:
    """Images that fooled one model under one threat by one attack.

    ``attack`` is the name of a stage; ``index`` (B,) int64 are positions in the
    test split; ``images`` (B, C, H, W) float32. Both lie in main memory.
    """

    threat: ThreatModel
    attack: str
    index: Tensor
    images: Tensor


def write_adversarial(path: Path, parts: Iterable[SavedImages]) -> str:
    """Write ``parts`` as Parquet, atomically, holding one at a time; returns the file's SHA-256.

    A row is an image, its values in the order (C, H, W) and their shape in the file's metadata; a
    part is a row group. All images have the same shape.
    """
    parts = iter(parts)
    first = next(parts, None)
    some = [] if first is None else [first]
    shape = [] if first is None else list(first.images.shape[1:])
    schema = _SCHEMA.with_metadata({"image_shape": json.dumps(shape)})
    with (
        atomic_write(path) as stream,
        pq.ParquetWriter(
            stream,
            schema,
            compression="zstd",
            compression_level=9,
            use_dictionary=["norm", "epsilon", "attack"],
            data_page_size=_PAGE_BYTES,
        ) as writer,
    ):
        for part in chain(some, parts):
            if list(part.images.shape[1:]) != shape:
                raise ValueError(f"images of shape {tuple(part.images.shape[1:])} beside {shape}")
            writer.write_table(_table(part, schema))
    return file_digest(path)


def read_adversarial(path: Path, most: int = MOST_IMAGES) -> Iterator[SavedImages]:
    """Yield the parts of a file of :func:`write_adversarial`, in order, of ``most`` images at most.

    Raises :class:`UserError` for a file that is missing, cut short, or holds anything else.
    """
    try:
        with open_regular(path) as stream, pq.ParquetFile(stream) as file:
            if not file.schema_arrow.equals(_SCHEMA):
                raise ValueError(f"its columns are {', '.join(file.schema_arrow.names)}")
            shape = json.loads((file.schema_arrow.metadata or {})[b"image_shape"])
            if shape and not (len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)):
                raise ValueError(f"images have a shape, and not {str(shape)[:80]}")
            for group in range(file.num_row_groups):
                if file.metadata.row_group(group).num_rows > most:
                    raise ValueError(f"a row group is of more than {most} images")
                yield _saved(file.read_row_group(group), shape)
    except FileNotFoundError:
        raise UserError(
            f"no adversarial images at {path}: they stay on the machine that made them"
        ) from None
    except (*_UNREADABLE, UserError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} does not hold adversarial images: {reason}") from error


def _table(part: SavedImages, schema: pa.Schema) -> pa.Table:
    images = np.ascontiguousarray(part.images.numpy(), dtype=np.float32).reshape(
        len(part.index), -1
    )
    ends = np.arange(len(images) + 1, dtype=np.int32) * images.shape[1]
    columns = [
        pa.repeat(part.threat.norm, len(images)),
        pa.repeat(str(part.threat.epsilon), len(images)),
        pa.repeat(part.attack, len(images)),
        pa.array(part.index.numpy()),
        pa.ListArray.from_arrays(
            pa.array(ends), images.reshape(-1), type=schema.field("image").type
        ),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _saved(table: pa.Table, shape: list[int]) -> SavedImages:
    columns = ["norm", "epsilon", "attack"]
    kinds = table.group_by(columns).aggregate([]).to_pylist()
    if len(kinds) != 1:
        raise ValueError("a row group is not of one threat and attack")
    images = table["image"].combine_chunks()
    if set(images.value_lengths().to_pylist()) != {math.prod(shape)}:
        raise ValueError(f"an image does not have {math.prod(shape)} values")
    values = images.flatten().to_numpy().reshape(-1, *shape)
    return SavedImages(
        ThreatModel(kinds[0]["norm"], kinds[0]["epsilon"]),
        kinds[0]["attack"],
        torch.from_numpy(table["index"].to_numpy().copy()),
        torch.from_numpy(values.copy()),
    )
