"""Where the attacks of a scoring are defined."""

from __future__ import annotations

import subprocess
import sys

import pytest

from regmix_bench.attacks import ATTACKS
from regmix_bench.attacks.ensembles import DEFINED_EVERYWHERE, require_defined
from regmix_bench.attacks.protocol import Attack, AttackedData
from regmix_bench.errors import UserError
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

THREATS = (ThreatModel("Linf", "1/4"), ThreatModel("L2", "1/2"))


@pytest.mark.parametrize(
    "scoring",
    [
        Scoring(),
        Scoring(autoattack_version="plus"),
        Scoring(autoattack_version="custom", attacks=("pgd", "square[n_queries=7]")),
    ],
)
def test_what_is_not_defined_is_one_line_with_attack_norm_and_size(scoring: Scoring) -> None:
    data = AttackedData((3, 14, 19), 10, 100)
    with pytest.raises(UserError, match=r"attack 'square.*L2.*14×19 pixels") as refused:
        require_defined(scoring, THREATS, data)
    assert "\n" not in str(refused.value)
    require_defined(scoring, [THREATS[0]], data)
    require_defined(scoring, [THREATS[1]], AttackedData((3, 32, 32)))
    require_defined(scoring, [THREATS[1]])


def test_an_ensemble_without_square_is_defined_on_any_image() -> None:
    for scoring in (
        Scoring(autoattack_version="rand"),
        Scoring(autoattack_version="custom", attacks=("fab-t", "random-directions")),
    ):
        require_defined(scoring, THREATS, AttackedData((1, 14, 14)))


def test_too_few_classes_are_one_line_with_what_an_attack_needs() -> None:
    scoring = Scoring(autoattack_version="custom", attacks=("fgsm", "quick-apgd"))
    with pytest.raises(UserError, match=r"'quick-apgd'.* it needs 4 classes, and there are 2"):
        require_defined(scoring, THREATS, AttackedData(num_classes=2))
    require_defined(scoring, THREATS, AttackedData(num_classes=4))
    require_defined(scoring, THREATS)


def test_no_budget_is_larger_than_two_images_differ_by() -> None:
    scoring = Scoring(autoattack_version="custom", attacks=("fgsm",))
    data, far = AttackedData((1, 8, 8)), ThreatModel("L2", "8.1")
    require_defined(scoring, [ThreatModel("L2", "8")], data, [ThreatModel("L1", "64")])
    for threats, others in (([far], []), (THREATS, [far])):
        with pytest.raises(UserError, match=r"8\.1 is above 8, the largest difference in L2"):
            require_defined(scoring, threats, data, others)
        require_defined(scoring, threats, AttackedData(), others)


def test_what_is_not_asked_has_nothing_to_say() -> None:
    for name in DEFINED_EVERYWHERE:
        assert ATTACKS.is_builtin(name)
        assert ATTACKS[name].norms is None and ATTACKS[name].obstacle is Attack.obstacle


def test_asking_loads_no_torch() -> None:
    program = (
        "import sys; from regmix_bench.attacks.ensembles import require_defined as ask;"
        "from regmix_bench.attacks.protocol import AttackedData as Data;"
        "from regmix_bench.specs import Scoring; from regmix_bench.types import ThreatModel as T;"
        "ask(Scoring(), [T('L2', '1'), T('Linf', '1')], Data((1, 8, 8)));"
        "named = ('fgsm', 'square', 'quick-apgd');"
        "ask(Scoring(autoattack_version='custom', attacks=named), [T('L2', '1')]);"
        "assert not {'torch', 'pyautoattack'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
