"""Each verb is one function and one command, which do not differ."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.harness import cli
from typer.main import get_command

import regmix_bench
from regmix_bench.api.options import Option, listed
from regmix_bench.cli.commands import app, options
from regmix_bench.cli.program import run_command
from regmix_bench.errors import UserError

#: By the name of the command.
VERBS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(regmix_bench, name)
        for name in (
            *("run", "report", "check", "compare", "audit", "transfer", "export", "inspect"),
            *("serve", "show", "suite", "power", "tune", "verify"),
        )
    },
    "eval": regmix_bench.evaluate,
    "list": regmix_bench.list_entries,
    "test": regmix_bench.check_contract,
}
#: Of the command line alone: how much is said, and in which form.
FLAGS = {"json", "quiet", "verbose"}
#: Of Python alone: who listens.
LISTENERS = {"observer", "say", "told"}
#: The command keeps its record; a notebook that scores a live model need not.
OTHER_DEFAULTS = {("eval", "results"): (None, "results")}


def test_every_command_is_a_verb_and_every_verb_is_exported() -> None:
    assert run_command  # whose module registers the commands
    assert set(get_command(app).commands) == set(VERBS)
    for function in VERBS.values():
        assert function.__name__ in regmix_bench.__all__
        assert getattr(regmix_bench, function.__name__) is function
        assert function.__name__ in dir(regmix_bench)


@pytest.mark.parametrize("name", VERBS)
def test_function_and_command_have_the_same_parameters_and_defaults(name: str) -> None:
    parameters = inspect.signature(VERBS[name]).parameters
    command = {each.name: each for each in get_command(app).commands[name].params}
    for each in (FLAGS | {"help"}) - parameters.keys():  # `verify` writes a file by --json
        command.pop(each, None)
    assert parameters.keys() - command.keys() <= LISTENERS
    assert list(command) == [each for each in parameters if each not in LISTENERS]
    for each, option in command.items():
        default = parameters[each].default
        if (name, each) in OTHER_DEFAULTS:
            assert (default, option.default) == OTHER_DEFAULTS[name, each]
            continue
        assert option.required == (default is inspect.Parameter.empty), each
        if not option.required:
            assert option.default == default or (default == () and not option.default), each


def test_a_report_is_served_with_the_choices_it_is_written_with() -> None:
    written, served = (inspect.signature(VERBS[name]).parameters for name in ("report", "serve"))
    files = {"out", "format", "site_url", "check", "say"}
    apart = {"LaTeX tables", "Figures"}  # of which the site has none
    panels = {name: option.panel for name, (_, option) in options(VERBS["report"]).items()}
    shared = {name for name in written if name not in files and panels[name] not in apart}
    assert {"reference", "across", "suite", "target_accuracy"} <= shared
    assert served.keys() - {"port", "say"} == shared
    for name in shared:
        assert (served[name].annotation, served[name].default) == (
            *(written[name].annotation, written[name].default),
        )


@pytest.mark.parametrize("name", VERBS)
def test_every_parameter_is_explained_in_its_panel(name: str) -> None:
    found = cli(name, "--help")
    assert (found.status, found.errors) == (0, "")
    assert f"Example: regmix-bench {name}" in found.out
    for _, option in options(VERBS[name]).values():
        assert option.help[:1].isupper() or option.help[:1].islower()
        if not option.argument:
            assert f"╭─ {option.panel} ─" in found.out


def test_every_verb_says_what_it_does_and_refuses() -> None:
    for name, function in VERBS.items():
        first = (inspect.getdoc(function) or "").split()[0]
        assert first.istitle(), name


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: regmix_bench.run(methods="trades", device="gpu"), "device 'gpu'"),
        (lambda: regmix_bench.run(methods="trades", sync_bn="maybe"), "sync-bn 'maybe'"),
        (lambda: regmix_bench.run(methods="trades", launcher="slurm"), "launcher 'slurm'"),
        (lambda: regmix_bench.run(methods="trades", evaluate="best"), "evaluate 'best'"),
        (lambda: regmix_bench.run(methods=["trades", ""]), "has an empty place"),
        (lambda: regmix_bench.run(), "nothing to run"),
        (lambda: regmix_bench.list_entries("method"), "did you mean 'methods'"),
        (lambda: regmix_bench.export("3f2a", format="robustbnch"), "did you mean 'robustbench'"),
        (lambda: regmix_bench.compare("1", "2", checkpoint="best"), "checkpoint 'best'"),
        (lambda: regmix_bench.show("3f2a", results="/nowhere"), "unknown run '3f2a'"),
        *(
            (lambda call=call, given=given: call(**given), said)
            for call in (regmix_bench.report, regmix_bench.serve)
            for given, said in (
                ({"target_accuracy": 45.0}, "--target-accuracy 45 is no share"),
                ({"across": "trick"}, "unknown --across 'trick'"),
                ({"suite": "digit"}, "unknown suite 'digit'"),
            )
        ),
    ],
)
def test_bad_input_from_python_is_a_user_error(call: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: regmix_bench.run(5), "unknown suite '5'"),
        (lambda: regmix_bench.run(Path("/none.yaml")), "cannot read suite /none.yaml"),
        (lambda: regmix_bench.run(methods="trades", eval_examples="all"), "not a whole number"),
        (lambda: regmix_bench.run(methods="trades", eval_examples=1.5), "eval-examples is 1.5"),
        (lambda: regmix_bench.run(methods="trades", devices=True), "devices is True"),
        (lambda: regmix_bench.run(methods="trades", dry_run="no"), "'no', not True or False"),
        (lambda: regmix_bench.run(methods="trades", results=5), "results is 5, not text or a path"),
        (lambda: regmix_bench.run(methods="trades", settings=5), "settings is 5, not several"),
        (lambda: regmix_bench.run(methods="trades", settings=[5]), "--set '5' is not like"),
        (lambda: regmix_bench.evaluate("x", label=5), "label is 5, not text"),
        (lambda: regmix_bench.power("one"), "points is 'one', not a number"),
        (lambda: regmix_bench.compare("1", "2", "last"), None),
        (lambda: regmix_bench.show(5), "run is 5"),
        (lambda: regmix_bench.transfer("3f2a", results="/nowhere"), "unknown run '3f2a'"),
        (lambda: regmix_bench.run(methods="trades", settings="recipe.lr"), "--set 'recipe.lr'"),
        (lambda: regmix_bench.run(methods="trades", observer=5), "observer is 5, which has no on_"),
        (lambda: regmix_bench.inspect("3f2a", observer=print), "which has no on_plan: use Display"),
        (lambda: regmix_bench.report(say=5), "say is 5, not a function"),
        (lambda: regmix_bench.plot(width=5), "width is 5, not text"),
        (lambda: regmix_bench.load_model(5), "record is 5, not a RunRecord or text or a path"),
        (lambda: regmix_bench.load_model("3f2a", results=5), "results is 5"),
        (lambda: regmix_bench.load_record(5), "path is 5, not text or a path"),
        (lambda: regmix_bench.load_results(["results"]), "results is .'results'., not text"),
        (lambda: regmix_bench.load_method(5), "name is 5, not text"),
        (lambda: regmix_bench.load_data(5, "test"), "name is 5, not text"),
        (lambda: regmix_bench.load_data("digits", "validation"), "unknown split 'validation'"),
        (lambda: regmix_bench.RunRecord("3f2a"), "RunRecord takes values by name"),
    ],
)
def test_values_of_another_type_are_refused(call: Callable[[], object], said: str | None) -> None:
    with pytest.raises(TypeError if said is None else UserError, match=said):
        call()


def test_a_list_is_a_sequence_or_text_with_commas() -> None:
    assert listed("--eps", None) is None
    assert listed("--eps", "8/255, 16/255") == ["8/255", "16/255"]
    assert listed("--seeds", range(3)) == ["0", "1", "2"]
    assert listed("--seeds", 3) == ["3"] and listed("--eps", 0.03) == ["0.03"]
    brackets = "fgsm-pgi[lambda_=1,reset=10]"
    assert listed("--methods", f"trades,{brackets}") == ["trades", brackets]
    assert listed("--methods", ["trades", brackets]) == ["trades", brackets]


def test_an_option_is_said_once() -> None:
    for name, function in VERBS.items():
        for parameter, option in options(function).values():
            assert isinstance(option, Option), (name, parameter)


@pytest.mark.parametrize("name", ["torch", "pandas", "matplotlib"])
def test_the_package_and_its_verbs_load_without(name: str) -> None:
    code = (
        "import sys, regmix_bench; from regmix_bench import run, evaluate, report, list_entries;"
        f" import regmix_bench.cli; sys.exit({name!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("old", "names", "new"),
    [
        ("perturb", ("pgd", "uniform_start"), ("regmix_bench.attacks.pgd",)),
        ("plan", ("plan",), ("regmix_bench.grid.plan",)),
    ],
)
def test_the_import_paths_of_version_0_1_go_on_with_a_warning(
    old: str, names: tuple[str, ...], new: tuple[str, ...]
) -> None:
    code = f"from regmix_bench.{old} import {', '.join(names)}"
    found = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "<string>:1: DeprecationWarning" in found.stderr
    assert all(path in found.stderr for path in new)


def test_frozen_stays_where_plug_ins_import_it() -> None:
    from regmix_bench.types import Frozen

    assert Frozen.model_config["frozen"]
