"""The badges of the README: ``python docs/make/badges.py`` draws them from ``pyproject.toml``.

They are files of the repository, so that nothing is asked of another host.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "static" / "badges"

BADGE = """<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" \
aria-label="{label}: {value}">
<rect width="{width}" height="20" rx="3" fill="#0a5ca8"/>
<path d="M3 0h{left}v20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>
<g fill="#fff" font-family="DejaVu Sans, Verdana, sans-serif" font-size="11" text-anchor="middle">
<text x="{middle}" y="14">{label}</text><text x="{far}" y="14">{value}</text>
</g>
</svg>
"""


def badges() -> dict[str, str]:
    """Return the badges by the names of their files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    said = {
        "python": ("python", project["requires-python"].replace(">=", "≥ ")),
        "licence": ("licence", project["license"]),
        "version": ("version", project["version"]),
    }
    return {f"{name}.svg": _badge(*words) for name, words in said.items()}


def _badge(label: str, value: str) -> str:
    left, right = (7 * len(text) + 12 for text in (label, value))
    return BADGE.format(
        label=label,
        value=value,
        width=left + right,
        left=left - 3,
        middle=left / 2,
        far=left + right / 2,
    )


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in badges().items():
        (FOLDER / name).write_text(text, "utf-8")
