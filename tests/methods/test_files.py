"""Methods in files of a user's: found by ``PATH.py:CLASS``, known by their code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from support.harness import cli
from support.plug_ins import METHOD_FILE as CODE

from regmix_bench.data import canonical_name
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import make_method, require_code
from regmix_bench.specs import MethodSpec, RunSpec


def spec_of(text: str, *settings: str) -> RunSpec:
    grid = {"methods": [METHODS.loaded(text)], "eps": ["8/255"]}
    (spec,) = plan([grid], {}, settings, canonical_name)
    return spec


def test_a_file_is_a_method_whose_code_is_part_of_its_runs(tmp_path, forget):
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    spec = spec_of(f"{file}:Plain[scale=2]")
    assert (spec.method.name, spec.label) == ("plain", "plain[scale=2]")
    assert METHODS.origin("plain") == "mine.py:Plain"
    set_ = spec_of(f"{file}:Plain", "plain.scale=2")
    assert set_.run_id == spec.run_id
    recorded = spec.model_dump_json()
    assert str(tmp_path) not in recorded
    assert RunSpec.model_validate_json(recorded).run_id == spec.run_id
    forget()
    (tmp_path / "there").mkdir()
    moved = file.rename(tmp_path / "there" / "other.py")
    assert spec_of(f"{moved}:Plain[scale=2]").run_id == spec.run_id
    forget()
    moved.write_text(CODE + "# changed\n")
    assert spec_of(f"{moved}:Plain[scale=2]").run_id != spec.run_id


def test_a_process_that_did_not_plan_a_run_finds_its_file(tmp_path, forget):
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    sent = pickle.dumps(spec_of(f"{file}:Plain[scale=3]"))
    forget()
    spec: RunSpec = pickle.loads(sent)
    require_code(spec.method)
    assert make_method(spec.method).config.scale == 3  # type: ignore[attr-defined]
    forget()
    file.write_text(CODE + "# changed\n")
    with pytest.raises(UserError, match="has changed since the run was planned"):
        require_code(spec.method)
    forget()
    file.unlink()
    with pytest.raises(UserError, match="cannot read method"):
        require_code(spec.method)
    recorded = MethodSpec.model_validate_json(spec.method.model_dump_json())
    with pytest.raises(UserError, match=r"--methods FILE\.py:CLASS"):
        require_code(recorded)


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (CODE, "mine.py", "names no class of mine.py: "),
        (CODE, "mine.py:Plane", "mine.py:Plain"),
        (CODE, "none.py:Plain", "cannot read method"),
        ("1 +", "mine.py:Plain", "cannot be loaded: "),
        ("import no_such_module", "mine.py:Plain", "no_such_module"),
        ("raise SystemExit(3)", "mine.py:Plain", "cannot be loaded: "),
        ("Plain = 3", "mine.py:Plain", "it defines none"),
        ("class Plain: name = 'plain'", "mine.py:Plain", "'plain' of mine.py:Plain is no method"),
        ("class Plain: pass", "mine.py:Plain", "mine.py:Plain has no name: "),
        (CODE.replace('"plain"', '""'), "mine.py:Plain", "mine.py:Plain has no name: "),
        (CODE.replace('"plain"', '"trades"'), "mine.py:Plain", "is called 'trades', as is"),
        (CODE.replace('"plain"', '"../up"'), "mine.py:Plain", "a name is made of letters"),
        (CODE.replace("def step", "def walk"), "mine.py:Plain", "it has no step()"),
        ("\0", "mine.py:Plain", "cannot be loaded: "),
    ],
)
def test_a_file_that_is_no_method(tmp_path, monkeypatch, forget, code, name, said):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(code)
    with pytest.raises(UserError) as caught:
        METHODS.loaded(name)
    (line,) = str(caught.value).splitlines()
    assert said in line
    assert "plain" not in METHODS.names()


@pytest.mark.parametrize("verb", [("run", "--methods"), ("test",), ("list", "methods")])
def test_a_verb_takes_a_file(tmp_path, monkeypatch, forget, verb):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CODE)
    refused = cli(*verb, "mine.py:Plane")
    assert refused.status == 2
    assert refused.words.endswith("'mine.py:Plane' names no class of mine.py: mine.py:Plain")


def test_two_files_of_one_name(tmp_path, forget):
    for name in ("old", "new"):
        (tmp_path / f"{name}.py").write_text(CODE + f"# {name}\n")
    METHODS.loaded(f"{tmp_path}/old.py:Plain")
    METHODS.loaded(f"{tmp_path}/old.py:Plain")
    with pytest.raises(UserError, match=r"is called 'plain', as is one of .*old\.py:Plain"):
        METHODS.loaded(f"{tmp_path}/new.py:Plain")


def test_no_suite_runs_a_file(tmp_path, monkeypatch, forget):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("open('trace', 'w')\n" + CODE)
    Path("suite.yaml").write_text("methods: ['mine.py:Plain']\neps: [8/255]\n")
    for verb in (("run", "suite.yaml", "--dry-run"), ("suite", "check", "suite.yaml")):
        answered = cli(*verb)
        assert answered.status == 2
        assert answered.words.endswith("its own name, and --method-files mine.py:Plain beside it")
    assert not Path("trace").exists()
    Path("suite.yaml").write_text("methods: [plain]\neps: [8/255]\n")
    assert "unknown method 'plain'" in cli("suite", "check", "suite.yaml").words
    refused = cli("suite", "check", "suite.yaml", "--method-files", "plain")
    assert refused.words == "error: --method-files 'plain' is not like my_method.py:TwoStep"
    found = cli("suite", "check", "suite.yaml", "--method-files", "mine.py:Plain")
    assert found.out.splitlines()[1] == (
        "next: regmix-bench run suite.yaml --dry-run --method-files mine.py:Plain"
    )


def test_a_suite_with_a_file_chooses_records(tmp_path, monkeypatch, forget):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CODE)
    Path("suite.yaml").write_text("methods: [plain]\neps: [8/255]\n")
    Path("results").mkdir()
    for verb in (("report", "--format", "markdown"), ("verify", "results")):
        forget()
        choosing = (*verb, "--suite", "suite.yaml")
        assert "unknown method 'plain'" in cli(*choosing).words
        chosen = cli(*choosing, "--method-files", "mine.py:Plain")
        assert chosen.status == 2 and "no records in results" in chosen.words
