"""The passes that scoring is expected to take, before it is begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regmix_bench.attacks.ensembles import ensemble
from regmix_bench.evaluation.evaluate import stages_of
from regmix_bench.evaluation.masking import LIMIT, PASSES
from regmix_bench.records.progress import Part
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.types import Checkpoint


def planned_scoring(
    spec: RunSpec | EvalSpec,
    weights: Iterable[Mapping[Checkpoint, bool]],
    images: int,
    classes: int,
    *,
    clean: float = 0.9,
    robust: float = 0.5,
    diagnosed: bool = False,
) -> dict[Part, float]:
    """Return the passes of each part of a scoring on so many test ``images``.

    Each of the ``weights`` are the checkpoints that they are, with whether AutoAttack scores it;
    what is measured of one is not measured again of the next. The first attack is expected to see
    the share ``clean`` of the images, and each later one ``robust`` (0 to 1).
    """
    scoring = spec.scoring
    threats = dict.fromkeys(spec.eval_threats, True)
    if isinstance(spec, RunSpec):
        threats |= dict.fromkeys(spec.pgd_threats, False)
    parts: dict[Part, float] = {}
    for same in weights:
        measured: set[Part] = set()
        first = next(iter(same))
        for checkpoint, with_ensemble in same.items():
            for threat, attacked in threats.items():
                under, seen = str(threat), robust if scoring.screen else clean
                version = scoring.autoattack_version
                members, _ = ensemble(version, scoring.attacks, classes, threat.norm)
                for stage in stages_of(scoring, members if with_ensemble and attacked else {}):
                    share = 1.0 if stage.everywhere else seen
                    part = Part(first, under, stage.name)
                    if part not in measured:
                        passes = (stage.attack.passes + 1) * images * share  # 1 for the verdict
                        parts[part._replace(checkpoint=checkpoint)] = passes
                        measured.add(part)
                    if not stage.everywhere:
                        seen = robust
                if diagnosed and attacked:
                    parts[Part(first, under)] = PASSES * min(images, LIMIT) * clean
    return parts
