"""What Weights & Biases has written offline, read without its server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Of the log's format, which is LevelDB's: a header of the file, then blocks of chunks.
_FILE_HEADER, _BLOCK, _CHUNK_HEADER = 7, 32768, 7


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows that the runs below ``folder`` have logged, in order."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row.item}
        for record in _records(folder)
        if record.WhichOneof("record_type") == "history"
        for row in (record.history,)
    ]


def runs(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the id and the configuration of every run below ``folder``, in order."""
    return [
        (
            record.run.run_id,
            {item.key: json.loads(item.value_json) for item in record.run.config.update},
        )
        for record in _records(folder)
        if record.WhichOneof("record_type") == "run"
    ]


def _records(folder: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    for file in sorted(folder.rglob("*.wandb")):
        for content in _messages(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            yield record


def _messages(content: bytes) -> Iterator[bytes]:
    """Yield what a log holds: a message is whole, or has a first, middle and last chunk."""
    place, message = _FILE_HEADER, b""
    while place + _CHUNK_HEADER <= len(content):
        if _BLOCK - place % _BLOCK < _CHUNK_HEADER:  # too little room for another chunk
            place += _BLOCK - place % _BLOCK
            continue
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        kind = content[place + 6]  # 1 whole, 2 first, 3 middle, 4 last
        place += _CHUNK_HEADER
        message += content[place : place + length]
        place += length
        if kind in (1, 4):
            yield message
            message = b""
