from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from support.hostile import HOSTILE

from regmix_bench.methods import METHODS
from regmix_bench.reporting.site.definitions import define
from regmix_bench.reporting.site.formulas import is_formula, mathml


def parsed(formula: str) -> ET.Element:
    markup = str(mathml(formula)).replace("&nbsp;", " ")
    return ET.fromstring(f"<all>{markup}</all>")


def read(element: ET.Element) -> str:
    """The letters of an element in their order."""
    return "".join("".join(element.itertext()).split())


@pytest.mark.parametrize(
    ("formula", "tags"),
    [
        ("λ_t", ["msub", "mi", "mrow", "mi"]),
        ("x₀", ["msub", "mi", "mrow", "mn"]),
        ("x'", ["msup", "mi", "mo"]),
        ("x²", ["msup", "mi", "mn"]),
        ("ŷ", ["mover", "mi", "mo"]),
        ("V_Ā", ["msub", "mi", "mrow", "mover", "mi", "mo"]),
        ("¼·w", ["mfrac", "mn", "mn", "mo", "mi"]),
        ("sign m", ["mi", "mspace", "mi"]),
        (
            "clip_[0,1](x)",
            ["msub", "mi", "mrow", *("mo", "mn", "mo", "mn", "mo"), "mo", "mi", "mo"],
        ),
        ("x, on clean images", ["mi", "mtext"]),
    ],
)
def test_a_formula_has_the_parts_that_it_says(formula: str, tags: list[str]) -> None:
    (math,) = parsed(formula)
    assert math.attrib["alttext"] == formula
    assert [element.tag for element in math.iter()][1:] == tags


def test_each_thing_that_is_said_stands_by_itself() -> None:
    said = "L = f(x, y), on clean images; x = 1, y = max(a, b)"
    assert [math.attrib["alttext"] for math in parsed(said)] == [
        "L = f(x, y), on clean images;",
        "x = 1,",
        "y = max(a, b)",
    ]


def test_every_method_declares_a_formula_that_can_be_written() -> None:
    for name in METHODS.names():
        formula = define(name).formula
        math = parsed(formula)
        assert read(math).count("(") == formula.count("(") and is_formula(formula)
        assert not set(read(math)) & set("_₀₁₂₃²¼"), name


@pytest.mark.parametrize("text", [*HOSTILE, "", "_", "'", "₂²", "a__b_", "((", "é\u0301\u0302"])
def test_other_text_is_written_as_it_is(text: str) -> None:
    markup = str(mathml(text))
    assert "<script" not in markup and "<img" not in markup
    assert parsed(text) is not None


def test_code_is_no_formula() -> None:
    assert is_formula("L = a\nD ← b") and not is_formula("L = a\nreturn b")
