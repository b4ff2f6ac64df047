"""Words that captions of several figures have: what was compared, and over how many seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.words import threat_words


def quantity(number: int, noun: str) -> str:
    """Return a number and its noun: ``1 seed``, ``6 seeds``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def sentence_of(words: Sequence[str]) -> str:
    """Return words as a sentence lists them: ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def seeds_words(seeds: Iterable[int]) -> str:
    """Return how many seeds rows have: ``6 seeds``, or ``3 to 6 seeds`` where they differ."""
    counts = sorted(set(seeds))
    least = f"{counts[0]} to " if len(counts) > 1 else ""
    return f"{least}{quantity(counts[-1], 'seed')}"


def protocol_of(block: Block, seeds: Iterable[int]) -> str:
    """Name data set, architecture, threats, checkpoint and seeds of a block in a line."""
    threat = threat_words(block.cohort.train_threat)
    if block.eval_threat != block.cohort.train_threat:
        threat = f"trained under {threat}, attacked under {threat_words(block.eval_threat)}"
    words = [block.cohort.setting.words, threat]
    if block.checkpoint != "selected":
        words.append(f"{block.checkpoint.replace('-', ', ')} checkpoint")
    return ", ".join([*words, seeds_words(seeds)])
