"""How much a command says, and in which form."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.harness import answer, cli, start
from support.synthetic import make_spec, write_run

DOCS = Path(__file__).parents[2] / "docs" / "terminal.md"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two seeds of two methods, recorded, with their references."""
    folder = tmp_path / "results"
    for label in ("trades", "pgd-at"):
        for seed in (0, 1):
            write_run(folder, make_spec(label, seed=seed), autoattack=300)
    assert cli("check", "--update", "--results", folder).status == 0
    return folder


def document(command: str, *arguments: object, status: int = 0) -> Any:
    """What a command says as JSON, which has to be all that it prints."""
    found = cli(command, *arguments, "--json")
    assert found.status == status, found.errors
    said = json.loads(found.out)
    assert (said["format"], said["command"]) == (1, command)
    return said["result"]


def keys(value: Any) -> set[str]:
    """The keys of all objects in a document."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_results_are_documents_whose_keys_are_documented(results: Path) -> None:
    one, two = (make_spec(label).run_id for label in ("trades", "pgd-at"))
    place = ("--results", results)
    listed = document("list", "runs", *place)
    assert [entry["clean"] for entry in listed] == [340 / 360] * 4
    methods = document("list", "methods")
    assert {"method", "norms", "what_it_is"} <= methods[0].keys()
    assert document("show", one, *place)["run_id"] == one
    (pair,) = document("compare", one, two, *place)
    assert 0 <= pair["p_value"] <= 1 and pair["n_examples"] == 360
    (power,) = document("power", "1.0", *place)
    assert set(power["chances"]) == {"360", "1000", "10000"}
    checked = document("check", *place)
    assert not checked["failed"] and {v["verdict"] for v in checked["verdicts"]} == {"ok"}
    text = DOCS.read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", text))
    found = keys([listed, pair, power["points"], *checked["verdicts"]]) | set(power) | set(checked)
    assert found - named == set()


def test_a_check_that_fails_is_a_document_too(results: Path) -> None:
    spec = make_spec("trades")
    write_run(results, spec, autoattack=100)
    found = document("check", "--results", results, status=1)
    assert found["failed"] and any(verdict["failed"] for verdict in found["verdicts"])
    lines = cli("check", "--results", results).out.splitlines()
    failing = [verdict for verdict in found["verdicts"] if verdict["failed"]]
    assert len(lines) == 1 + len(failing) + 4  # a header, and lines for the rest
    assert len(cli("check", "-v", "--results", results).out.splitlines()) > len(lines)


LOUD = """
print("imported")
from regmix_bench import Method
class Loud(Method):
    "Say what it does."
    name = "loud"
    def step(self, model, batch, threat, generator): ...
def build():
    print("built")
    raise ValueError("no weights")
"""


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("list", "methods", "loud.py:Loud"), 0),
        (("eval", "loud:build", "--dataset", "digits", "--eps", "8/255"), 2),
    ],
)
def test_what_the_code_of_a_user_prints_is_no_part_of_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], status: int
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = cli(*arguments, "--json")
    assert found.status == status and json.loads(found.out)["command"] == arguments[0]
    assert "imported" in found.errors


@pytest.mark.parametrize("command", [("list", "suites"), ("show", "RUN"), ("check",)])
def test_json_into_a_full_disk_is_one_line(results: Path, command: tuple[str, ...]) -> None:
    run_id = make_spec("trades").run_id
    arguments = [run_id if word == "RUN" else word for word in command]
    place = () if command[0] == "list" else ("--results", results)
    with open("/dev/full", "w") as full:
        found = answer(start(*arguments, *place, "--json", stdout=full))
    assert found.status == 2
    assert found.errors == "error: cannot write standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["show", "ffff"], "unknown run 'ffff'"),
        (["audit"], "missing argument 'run'"),
        (["list", "methodz"], "'methodz' is not one of"),
    ],
)
def test_what_is_refused_is_a_document_too(results: Path, arguments: list[str], why: str) -> None:
    found = cli(*arguments, "--results", results, "--json")
    document = json.loads(found.out)
    assert (found.status, document["command"]) == (2, arguments[0])
    assert why in document["error"] and found.errors == f"error: {document['error']}\n"
