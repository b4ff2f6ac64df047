"""Print what ``inspect`` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.inspect import inspect
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import QUIETLY
from regmix_bench.cli.lines import Lines
from regmix_bench.cli.printing import say

if TYPE_CHECKING:
    from regmix_bench.records.views import Views


@add_command(inspect, "regmix-bench inspect 3f2a 81c0 --device cpu", flags=QUIETLY)
def print_views(call: Call[dict[Path, Views]]) -> None:
    """Print the median curvature of each run."""
    import numpy as np

    for path, views in call(observer=Lines(call.flags)).items():
        say(f"{path.stem}: median curvature {np.nanmedian(views.curvature):.3g}")
