"""Rules about the measurement: the threat, the images, the attacks, and signs of masking."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping

from regmix_bench.sheets.rule import Breach, Rule, each_row, in_words, shared_by_rows
from regmix_bench.sheets.sheet import SheetRow, SheetTable

CLEAN, FGSM, AUTOATTACK = "clean", "fgsm", "autoattack"
SQUARE_STRONGER = "square-stronger-than-white-box"

#: The versions of AutoAttack that its authors define.
_VERSIONS = ("standard", "plus", "rand")
#: Points by which an attack may fall behind AutoAttack more than it does in most rows.
MASKING_GAP = 3.0
#: Standard deviations over images by which it may besides.
_DEVIATIONS = 3
#: Points in a table of one or two rows, where nothing is usual.
MASKING_GAP_ALONE = 10.0

_CROCE = "Croce and Hein, ICML 2020"


def _other_threat(row: SheetRow) -> str | None:
    used = {"trained": row.trained_under, "attacked": row.attacked_under}
    said = [
        f"{how} under {in_words(threat)}, which is {float(threat.epsilon / row.threat.epsilon):.4g}"
        f" of what {in_words(row.threat)} says"
        if threat.norm == row.threat.norm
        else f"{how} under {in_words(threat)}, where the table says {in_words(row.threat)}"
        for how, threat in used.items()
        if threat is not None and threat != row.threat
    ]
    return "; ".join(said) or None


def _subset(row: SheetRow) -> str | None:
    images, of = row.measurement.images, row.measurement.test_images
    if images is None or of is None or images >= of:
        return None
    half = 196 * (0.25 / images) ** 0.5
    return f"scored on {images:,} of {of:,} test images: ± {half:.1f} points at 50 %"


def _without_autoattack(row: SheetRow) -> str | None:
    return "AutoAttack did not run" if row.measurement.autoattack == "none" else None


def _custom_attacks(row: SheetRow) -> str | None:
    version = row.measurement.autoattack
    if version in (None, "none", *_VERSIONS):
        return None
    return f"{version} in the place of AutoAttack"


def _ran(row: SheetRow) -> bool:
    return row.measurement.autoattack != "none"


def _no_version(row: SheetRow) -> str | None:
    missing = [key for key in ("autoattack", "package") if getattr(row.measurement, key) is None]
    return f"AutoAttack's {' and '.join(missing)} not said" if _ran(row) and missing else None


def _no_seed(row: SheetRow) -> str | None:
    if _ran(row) and row.measurement.seed is None:
        return "AutoAttack ran without a seed that is known"
    return None


def _ranked_by_weak(table: SheetTable) -> Iterator[Breach]:
    if table.ranked_by is None:
        yield Breach(None, "the table does not say by which attack its rows are ranked")
    elif table.ranked_by != AUTOATTACK:
        yield Breach(None, f"its rows are ranked by {table.ranked_by}")


def _masked(table: SheetTable) -> Iterator[Breach]:
    """Yield a row where an attack falls behind AutoAttack much more than it does in most rows."""
    usual = _usual_gaps(table)
    for row in table.rows:
        beyond = {}
        for where, numbers in seen_numbers(row):
            for attack, gap in _gaps(numbers).items():
                said = f"{attack} leaves {gap:.1f} points more than AutoAttack{where}"
                if attack in usual:
                    said += f", and {usual[attack]:z.1f} in the median row"
                    chance = _DEVIATIONS * _deviation(gap, row.measurement.images)
                    beyond[gap - usual[attack] - max(MASKING_GAP, chance)] = said
                else:
                    beyond[gap - MASKING_GAP_ALONE] = said
        if beyond and max(beyond) > 0:
            yield Breach(row.method, beyond[max(beyond)])


def _deviation(gap: float, images: int | None) -> float:
    """The standard deviation in points of a share of images of which ``gap`` percent are."""
    share = min(max(gap / 100, 0.0), 1.0)
    return 100 * (share * (1 - share) / images) ** 0.5 if images else 0.0


def seen_numbers(row: SheetRow) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield the numbers of a row, and of each of its runs, with words for where."""
    yield "", _means(row)
    for run in row.counted:
        yield f" at seed {run.seed}", run.numbers


def _means(row: SheetRow) -> dict[str, float]:
    return {name: claim.mean for name, claim in row.numbers.items()}


def _usual_gaps(table: SheetTable) -> dict[str, float]:
    """The median over rows of what each attack leaves more than AutoAttack, of three at least."""
    by_attack: dict[str, list[float]] = {}
    for row in table.rows:
        for attack, gap in _gaps(_means(row)).items():
            by_attack.setdefault(attack, []).append(gap)
    return {n: statistics.median(gaps) for n, gaps in by_attack.items() if len(gaps) > 2}


def _gaps(numbers: Mapping[str, float]) -> dict[str, float]:
    """Points by which each iterative attack leaves more than AutoAttack."""
    if AUTOATTACK not in numbers:
        return {}
    weaker = numbers.keys() - {CLEAN, FGSM, AUTOATTACK}
    return {name: numbers[name] - numbers[AUTOATTACK] for name in sorted(weaker)}


def _square_stronger(row: SheetRow) -> str | None:
    warned = [run.seed for run in row.counted if SQUARE_STRONGER in run.warnings]
    if not warned:
        return None
    where = f"{len(warned)} of {len(row.counted)} runs"
    return f"Square broke images that gradients had not, in {where}"


def _single_step_stronger(row: SheetRow) -> str | None:
    for where, numbers in seen_numbers(row):
        iterative = [share for name, share in numbers.items() if name.startswith("pgd")]
        if FGSM in numbers and iterative and numbers[FGSM] < min(iterative):
            return f"FGSM leaves {numbers[FGSM]:.1f} %, PGD {min(iterative):.1f} %{where}"
    return None


RULES = (
    shared_by_rows(
        "unlike-threat",
        "rows are of unlike norms or budgets",
        "robust accuracies under unlike threats order nothing",
        "threat",
    ),
    each_row(
        "threat-not-as-said",
        "the program's threat is not the one that the table says",
        "0.031 is 1.2 % less than 8/255; a smaller budget in the attack makes any row better, and a"
        " larger one in training is a trick that others lack",
        ("threat", "trained_under", "attacked_under"),
        _other_threat,
    ),
    each_row(
        "test-subset-scored",
        "a part of the test images was scored",
        "1,000 images leave an interval of ± 3.1 points at 50 %, which is more than most methods"
        " differ by, and whoever picks the images can pick the result",
        ("measurement.images", "measurement.test_images"),
        _subset,
    ),
    each_row(
        "no-autoattack",
        "AutoAttack did not run",
        "of more than 50 published models AutoAttack found all but one less robust than they were"
        f" said to be, often by more than 10 points ({_CROCE})",
        ("measurement.autoattack",),
        _without_autoattack,
    ),
    each_row(
        "attacks-not-autoattack",
        "other attacks stand in AutoAttack's place",
        "an ensemble of one's own is as strong as its author made it, and its numbers go with no"
        f" other table's ({_CROCE})",
        ("measurement.autoattack",),
        _custom_attacks,
    ),
    each_row(
        "autoattack-version-missing",
        "AutoAttack's version or package is not said",
        "standard, plus and rand are unlike ensembles, and packages differ in what they repair",
        ("measurement.autoattack", "measurement.package"),
        _no_version,
    ),
    each_row(
        "autoattack-seed-missing",
        "AutoAttack's seed is not known",
        "without a seed the package takes the clock's, and nobody can repeat which images broke",
        ("measurement.autoattack", "measurement.seed"),
        _no_seed,
    ),
    shared_by_rows(
        "unlike-autoattack",
        "rows are scored by unlike attacks or on unlike images",
        "a row that meets a weaker ensemble, or fewer images, has another number under the same"
        " header",
        "measurement.autoattack",
        "measurement.package",
        "measurement.seed",
        "measurement.batch_size",
        "measurement.images",
    ),
    Rule(
        "ranked-by-weak-attack",
        "rows are ranked by another attack than AutoAttack",
        "PGD falls behind AutoAttack by 2 points for PGD-AT and by 4 to 6 for most single-step rows"
        " (FastAT Benchmark, arXiv:2604.22853, CIFAR-10), so that it orders them otherwise",
        ("table.ranked_by",),
        _ranked_by_weak,
    ),
    Rule(
        "masked-gradients",
        "an attack falls far behind AutoAttack, a sign of masked gradients",
        "where gradients mislead, gradient attacks overstate robustness: one seed of ELLE keeps 25"
        " % under CR-Attack and 3 % under AutoAttack (FastAT Benchmark, arXiv:2604.22853)",
        ("numbers", "runs"),
        _masked,
    ),
    each_row(
        "square-stronger-than-gradients",
        "Square, which sees no gradient, broke what gradient attacks had not",
        "it is a sign of masked gradients (Athalye et al., ICML 2018; Carlini et al. 2019), and the"
        " number may still be too high",
        ("runs",),
        _square_stronger,
    ),
    each_row(
        "single-step-stronger",
        "one step of FGSM breaks more than PGD",
        "an iterative attack that loses to its own first step is misled by the gradients (Athalye"
        " et al., ICML 2018)",
        ("numbers", "runs"),
        _single_step_stronger,
    ),
)
