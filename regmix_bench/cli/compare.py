"""Print what ``compare`` and ``power`` say of a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regmix_bench.api.compare import compare
from regmix_bench.api.power import Power, power
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, print_json
from regmix_bench.cli.printing import print_table, say, say_folded

if TYPE_CHECKING:
    from regmix_bench.analysis.comparisons import Pair
    from regmix_bench.analysis.corrupted import CorruptedPair
    from regmix_bench.system.shown import ShownTuple


@add_command(compare, "regmix-bench compare eef7 9fe8", flags=AS_JSON)
def print_pairs(call: Call[ShownTuple[Pair] | ShownTuple[CorruptedPair]]) -> None:
    """Print both accuracies, under attack with their intervals, and the verdict of a test."""
    pairs = call()
    if call.flags.json:
        print_json("compare", pairs)
        return

    from regmix_bench.analysis.comparisons import Pair
    from regmix_bench.analysis.methods import FEWEST_SEEDS

    for pair in pairs:
        if isinstance(pair, Pair):
            _print_attacked(pair)
        else:
            _print_corrupted(pair)
    say_folded(
        f"too few seeds, one each, to compare their methods: `report` does from {FEWEST_SEEDS} on"
    )


def _print_attacked(pair: Pair) -> None:
    from regmix_bench.analysis.statistics import wilson_interval

    say(f"{pair.attack} at {pair.threat}, {pair.n_examples} images")
    for name, right in zip(pair.names, pair.right, strict=True):
        low, high = wilson_interval(right, pair.n_examples)
        say(f"  {name}: {right / pair.n_examples:.1%} [{low:.1%}, {high:.1%}]")
    say(f"  the second loses {pair.lost} images and gains {pair.gained}")
    one, two = pair.names
    say_folded(f"  {two} is {pair.relation} {one} (McNemar's exact test, p = {pair.p_value:.2g})")


def _print_corrupted(pair: CorruptedPair) -> None:
    from regmix_bench.records.words import CORRUPTED_BY

    say(f"{CORRUPTED_BY[pair.corruptions]}, {pair.n_examples} images")
    for name, share in zip(pair.names, pair.accuracy, strict=True):
        say(f"  {name}: {share:.1%}")
    one, two = pair.names
    say_folded(f"  {two} is {pair.relation} {one} ({pair.test})")


@add_command(power, "regmix-bench power 1.0 --results results", flags=AS_JSON)
def print_power(call: Call[ShownTuple[Power]]) -> None:
    """Print a table of chances for each set of comparable runs."""
    powers = call()
    if call.flags.json:
        print_json("power", powers)
        return
    for found in powers:
        say_folded(
            f"{found.summary().line} (standard deviation from seed to seed"
            f" {100 * found.seed_deviation:.1f} points, of a difference by the choice of"
            f" {found.recorded} images {100 * found.image_deviation:.1f})"
        )
        print_table(found.columns(), found.table())
