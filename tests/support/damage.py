"""Ways to damage a file."""

from __future__ import annotations

from pathlib import Path

import pytest

HOW = pytest.mark.parametrize("how", ["cut", "flipped", "zeroed"])


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
    path.write_bytes(
        {"cut": content[:middle], "flipped": flipped, "zeroed": bytes(2 * middle)}[how]
    )
