"""Times as a clock shows them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a time as a clock shows it: ``16:20``, from an hour on ``1:16:20``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
