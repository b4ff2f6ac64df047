"""Print what ``inspect`` measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.inspect import inspect
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import QUIETLY
from regmix_bench.cli.printing import print_table

if TYPE_CHECKING:
    from regmix_bench.records.views import Views


@add_command(inspect, "regmix-bench inspect eef7 9fe8 --device cpu", flags=QUIETLY)
def print_views(call: Call[dict[Path, Views]]) -> None:
    """Print how it goes on, then the median curvature of each run."""
    import numpy as np

    from regmix_bench.cli.display import Display
    from regmix_bench.cli.results import DIGITS
    from regmix_bench.records.store import load_run
    from regmix_bench.records.words import spec_words

    with Display(call.flags) as display:
        found = call(observer=display)
    rows = []
    for path, views in found.items():
        record = load_run(path)
        curvature = f"{np.nanmedian(views.curvature):.3g}"
        rows.append((spec_words(record.spec), record.run_id[:DIGITS], curvature))
    print_table(("run", "run_id", "median curvature"), rows)
