"""Settings as ``--set`` gives them: ``recipe.lr=0.05``, ``data.eval_examples=500``.

Suites take the same keys, in mappings named as the groups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from regmix_bench.attacks import attack_labels
from regmix_bench.errors import UserError, unknown, validated
from regmix_bench.notation import parse_value
from regmix_bench.specs import Scoring
from regmix_bench.specs.supervision import Labelled
from regmix_bench.types import Frozen

#: The groups that a run's settings may name, besides the methods.
GROUPS = ("recipe", "scoring", "data")


#: What turns the text of a key of a group, which names a file, into the name of its content.
Digests = Mapping[tuple[str, str], Callable[[str], str]]


class DataSettings(Frozen):
    """Numbers of images in class-balanced samples to train and to score on; None means all.

    ``name`` is what tables call data that are named by a path; their file's name if left out.
    ``labelled`` of the training images keep their label, a number or a share, and ``extra`` are
    further ones without labels, ``npz:PATH`` or ``folder:PATH``.
    """

    train_examples: int | None = Field(None, ge=1)
    eval_examples: int | None = Field(None, ge=1)
    name: Annotated[str | None, Field(coerce_numbers_to_str=True)] = None
    labelled: Labelled = None
    extra: str | None = None


def read_settings(texts: Sequence[str], groups: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return by group and key what ``texts`` set; a later one replaces an earlier.

    Raises :class:`UserError` for a text of another form, and a group that is not of ``groups``.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in map(str, texts):
        target, equals, value = text.partition("=")
        group, dot, key = target.strip().rpartition(".")
        if not equals or not dot:
            raise UserError(f"--set {text!r} is not like trades.beta=3 or recipe.lr=0.05")
        if group not in groups:
            raise unknown("--set key", group, groups)
        found.setdefault(group, {})[key] = parse_value(value)
    return found


def make_scoring(values: Mapping[str, Any]) -> Scoring:
    """Return the scoring that ``values`` say, the rest by default.

    Raises :class:`UserError` for an unknown key or attack and for a refused value.
    """
    scoring = validated(Scoring, values, "scoring")
    # Under their labels, so that an attack that is named in two ways is one.
    return validated(Scoring, {**values, "attacks": attack_labels(scoring.attacks)}, "scoring")


def file_digests(data_dir: Path | None) -> Digests:
    """Return by setting what turns the file that it names into what a specification has."""
    from regmix_bench.data.extra import canonical_extra

    def digest_of_weights(text: str) -> str:
        from regmix_bench.loading.initial import keep_initial  # here, because it needs torch

        return keep_initial(text)

    return {
        ("data", "extra"): lambda text: canonical_extra(text, data_dir),
        ("recipe", "init"): digest_of_weights,
    }
