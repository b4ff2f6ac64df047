from __future__ import annotations

from dataclasses import replace

from support.synthetic import make_spec, write_run

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.captions import (
    ends,
    extreme,
    grey_words,
    in_percent,
    most_robust,
    seed_words,
)
from regmix_bench.reporting.figures.looks import Look

LOOKS = {name: Look(name.upper(), "#000000", "o", "-") for name in "abc"}


def test_a_caption_says_the_most_robust_row_the_reference_and_the_verdict(tmp_path):
    for label, rights in {"trades": (290, 292, 294), "regmix": (295, 297, 299)}.items():
        for seed, right in enumerate(rights):
            spec = make_spec(label, seed=seed)
            write_run(tmp_path, spec, autoattack=right, reference="trades")
    contents = Contents.of(tmp_path, across=("tricks",))
    (block,) = contents.main_blocks
    said = most_robust(block, contents.looks, contents.standings[block.stem])
    start = " holds most under AutoAttack at L∞ 32/255, 82.5 % ["
    assert start in said and "TRADES, the reference, 81.1 % [" in said
    relation = contents.standings[block.stem].verdicts["regmix"].relation
    assert said.endswith("]") if relation == "better" else said.endswith(f"({relation})")
    assert ends(block.cohort) == "digits, smallcnn, L∞ 32/255, three seeds"


def test_the_least_and_the_only_and_no_value():
    values = {"a": 0.2, "b": 0.1}
    assert extreme(values, LOOKS, None, "has most,", in_percent) == "A has most, 20.0 %"
    assert (
        extreme(values, LOOKS, None, "has least,", in_percent, least=True) == "B has least, 10.0 %"
    )
    assert extreme({}, LOOKS, None, "has most,", in_percent) == ""


def test_a_row_of_several_panels_is_named_once_among_those_in_colour():
    panel = [replace(LOOKS["a"], featured=True), replace(LOOKS["b"], quiet=True)]
    assert ", the reference, A and the rows that" in grey_words([*panel, *panel])
    assert grey_words(LOOKS.values()) == ""


def test_seeds_are_counted_in_words():
    assert seed_words([1]) == "one seed"
    assert seed_words([6, 6]) == "six seeds"
    assert seed_words([4, 12, 6]) == "four to 12 seeds"
