"""Print where ``export`` has written."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from regmix_bench.api.export import export
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say


@add_command(export, "regmix-bench export eef7 --format safetensors --out my-model")
def print_export(call: partial[Path]) -> None:
    """Print the path, what an entry of RobustBench still needs, and where a model of the hub is."""
    say(f"written: {call()}")
    if call.keywords["format"] == "robustbench":
        say("fill in its link and authors, and its venue if there is a paper")
    if (push := call.keywords["push"]) is not None:
        say(f"uploaded: hf:{push}")
