"""Say what went wrong with a run, in one line."""

from __future__ import annotations

from regmix_bench.errors import UserError, is_out_of_memory
from regmix_bench.specs import RunSpec


def explained(error: BaseException, spec: RunSpec, trained: bool) -> str:
    """Say what went wrong with a run on one line; where memory ran out, with what would need less.

    It had been ``trained`` by then, or not.
    """
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    if not is_out_of_memory(error):
        return " ".join(f"{type(error).__name__}: {error}".split())
    if not trained:
        size = spec.recipe.batch_size
        return (
            f"out of memory in training with batches of {size}:"
            f" --set recipe.batch_size={max(1, size // 2)} needs about half"
        )
    size = spec.scoring.autoattack_batch_size
    return (
        f"out of memory in scoring with batches of {size}:"
        f" --set scoring.autoattack_batch_size={max(1, size // 2)} needs about half"
    )
