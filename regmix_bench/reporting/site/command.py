"""The command that trains and scores a recorded run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from regmix_bench.specs import MethodSpec, Recipe, RunSpec, Scoring
from regmix_bench.specs.threats import threat_text
from regmix_bench.types import ThreatModel

#: Named whatever their value, as data sets and devices have defaults of their own.
_SAID = {
    *("epochs", "schedule", "augmentation"),
    *("precision", "validation_precision", "search_precision"),
}
#: These have options of their own.
_OPTIONS = {"attacks", "screen"}


def command(spec: RunSpec, reference: str | None) -> str:
    """Return the ``regmix-bench run`` of exactly this specification, for a POSIX shell.

    What equals a default is left out, except where a dataset brings a default of its own. A method
    of a file is ``FILE.py:CLASS``, as no record knows which file that was.
    """
    return " ".join(["regmix-bench run", *_options(spec, reference)])


def _options(spec: RunSpec, reference: str | None) -> Iterator[str]:
    scoring, recipe = spec.scoring, spec.recipe
    own = (spec.train_threat,)
    options: dict[str, object] = {
        "methods": _method(spec.method),
        "datasets": spec.typed_dataset,
        "archs": spec.arch_words,
        "norm": spec.train_threat.norm,
        "eps": spec.train_threat.epsilon,
        "threats": _typed(spec, spec.eval_threats) if spec.eval_threats != own else None,
        "pgd-eps": _typed(spec, spec.pgd_threats) or None,
        "seeds": spec.seed,
        "evaluate": spec.evaluate if spec.evaluate != "selected" else None,
        "attacks": ",".join(scoring.attacks) or None,
        "reference": reference,
    }
    for name, value in options.items():
        if value is not None:
            yield f"--{name} {shlex.quote(str(value))}"
    if scoring.screen:
        yield "--screen"
    data = spec.model_dump(mode="json", include={"train_examples", "eval_examples"})
    data |= spec.model_dump(mode="json", include={"labelled", "extra"})
    for group, values, default in (
        ("data", data, dict.fromkeys(data)),
        ("recipe", recipe.model_dump(mode="json"), Recipe().model_dump(mode="json")),
        ("scoring", scoring.model_dump(mode="json"), Scoring().model_dump(mode="json")),
    ):
        for name, value in values.items():
            if name not in _OPTIONS and (name in _SAID or value != default[name]):
                text = value if isinstance(value, str) else json.dumps(value)
                yield f"--set {shlex.quote(f'{group}.{name}={text}')}"


def _method(method: MethodSpec) -> str:
    parameters = method.label.removeprefix(method.name)
    return method.label if method.code is None else f"FILE.py:CLASS{parameters}"


def _typed(spec: RunSpec, threats: tuple[ThreatModel, ...]) -> str:
    """Write threats, those in the norm of the training by their ε alone."""
    norm = spec.train_threat.norm
    return ",".join(str(t.epsilon) if t.norm == norm else threat_text(t) for t in threats)
