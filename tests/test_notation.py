from __future__ import annotations

from typing import Any

import pytest

from regmix_bench.notation import format_value, parse_value, read_json, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-7", -7),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("2001-02-03", "2001-02-03"),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("8/255", "8/255"),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("[&x {a: 1}, *x, {<<: *x, b: 2}]", [{"a": 1}, {"a": 1}, {"a": 1, "b": 2}]),
        ("{a: [1, b]}", {"a": [1, "b"]}),
    ],
)
def test_scalars_of_yaml_1_2(text: str, value: object) -> None:
    found = read_yaml(text)
    assert found == value and type(found) is type(value)
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["1", "true", "null", "1.5", "yes", "2001-02-03"])
def test_every_scalar_as_a_text(text: str) -> None:
    assert read_yaml(f"- {text}", texts=True) == [text]


BOMB = "".join(f"- &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(9))


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "key 'a' stands twice"),
        ("- {b: {c: 1, 'c': 2}}", "key 'c' stands twice"),
        ("&x [*x]", "its aliases stand for too many values"),
        ("a: &x {b: *x}", "its aliases stand for too many values"),
        (f"- &a0 [x]\n{BOMB}", "its aliases stand for too many values"),
        ("!!python/object/apply:os.getcwd []", "tag .* is not read"),
        ("!mine 3", "tag !mine is not read"),
        ("[" * 5000, "recursion"),
        ("{? [a] : b}", "unhashable"),
    ],
)
def test_what_is_not_read(text: str, reason: str, texts: bool) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        read_yaml(text, texts=texts)
    assert "\n" not in str(caught.value)


def test_values_that_are_written_out_are_read_however_many() -> None:
    """The sheet of five thousand rows has more than aliases may stand for."""
    assert len(read_yaml(f"[{'0,' * 100_000} &x a, *x]", texts=True)) == 100_002


@pytest.mark.parametrize(
    "value", [0, -3, 1.0, 0.1 + 0.2, 1e-30, True, None, "a", "1", "yes", "010", "1:30", "1e5", ""]
)
def test_a_value_is_read_as_it_is_written(value: Any) -> None:
    assert parse_value(format_value(value)) == value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": 1, "a": 1}', "key 'a' stands twice"),
        (b'[{"b": {"c": 1, "d": 2, "c": 3}}]', "key 'c' stands twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{", "Expecting property name"),
        (b"\xff\xff\xff", "decode"),
    ],
)
def test_json_that_is_none(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_json(content)
    assert read_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
