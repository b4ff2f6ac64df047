"""The commands, called as a user calls them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from support.harness import cli
from support.published import ROW, put
from support.synthetic import make_eval_spec, make_spec, write_run
from torch import nn

from regmix_bench.grid import plan
from regmix_bench.methods import METHODS
from regmix_bench.methods.protocol import Method
from regmix_bench.records import find, paths, store
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.reporting import report as report_files
from regmix_bench.runs import runner
from regmix_bench.specs import Scoring
from regmix_bench.types import Frozen, StepOutput, ThreatModel

Command = Callable[..., tuple[int, str, str]]

#: AutoAttack is over at once where nothing holds: at half the range of a pixel.
QUICK = {
    "methods": ["standard"],
    "eps": ["128/255"],
    "train_examples": 100,
    "eval_examples": 10,
    "recipe": {"epochs": 1, "augmentation": "none", "precision": "fp32"},
}


@pytest.fixture
def command(tmp_path: Path, monkeypatch) -> Command:
    """Calls the command line in a folder with a quick suite; returns status, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick.yaml").write_text(yaml.safe_dump(QUICK))

    def call(*arguments: str) -> tuple[int, str, str]:
        found = cli(*arguments)
        return found.status, found.out, found.errors

    return call


def run_quick(command: Command, *flags: str) -> tuple[int, str, str]:
    return command("run", "quick.yaml", "--device", "cpu", *flags)


def test_dry_run_shows_the_plan_and_writes_nothing(command: Command, tmp_path: Path) -> None:
    status, output, errors = run_quick(command, "--seeds", "0,1", "--dry-run")
    lines = output.splitlines()
    assert (status, errors) == (0, "")
    assert lines[0] == "2 runs: 0 done, 0 to resume, 2 to run, 0 failed"
    assert lines[2] == "digits · smallcnn · Linf 128/255 · fp32"
    assert lines[3].split() == ["state", "method", "seed", "passes", "time", "run_id"]
    assert all(line.startswith("to run  Standard ") for line in lines[4:6])
    facts = dict(line.split(maxsplit=1) for line in lines[7:])
    assert facts["data"] == "digits: 90 images to train on, 10 to validate, 10 to score"
    assert facts["passes"].endswith("to score") and facts["time"].startswith("about ")
    assert facts["device"].startswith("CPU, ") and facts["folder"] == "results"
    assert [path.name for path in tmp_path.iterdir()] == ["quick.yaml"]


def test_a_grid_runs_once_and_is_then_done(command: Command, tmp_path: Path) -> None:
    status, output, errors = run_quick(command, "--seeds", "0,1")
    assert (status, errors) == (0, "")
    assert "[2/2] Standard · digits · smallcnn · Linf 128/255 · seed 1: started" in output
    assert "AutoAttack 0.0%" in output and "\x1b" not in output
    paths = store.record_files(tmp_path / "results")
    times = [path.stat().st_mtime_ns for path in paths]
    assert len(paths) == 2

    status, output, _ = run_quick(command, "--seeds", "0,1,2", "--dry-run")
    assert output.splitlines()[0] == "3 runs: 2 done, 0 to resume, 1 to run, 0 failed"

    status, output, _ = run_quick(command, "--seeds", "0,1")
    assert (status, output.splitlines()[0]) == (
        0,
        "2 runs: 2 done, 0 to resume, 0 to run, 0 failed",
    )
    assert "started" not in output and output.endswith("next: regmix-bench report\n")
    assert [path.stat().st_mtime_ns for path in paths] == times

    status, output, _ = run_quick(
        command, "--seeds", "0", "--reference", "trades", "--diagnose", "--dry-run"
    )
    assert output.splitlines()[1:3] == [
        "of what is done 1 are scored again, as evaluations beside them",
        "what is done keeps its reference: `regmix-bench report --reference` takes another",
    ]

    saved = ("--seeds", "0", "--save-adversarial")
    for _ in range(2):  # the second finds the images of the first
        status, output, _ = run_quick(command, *saved)
        assert status == 0
        assert output.splitlines()[1].startswith("of what is done 1 are scored again")
    first = store.load_record(paths[0]).run_id
    assert "images saved\n" in command("show", first)[1]
    status, output, _ = command("audit", first)
    assert (status, output.splitlines()[-1].split(":")[0]) == (0, "audited")
    assert [path.stat().st_mtime_ns for path in paths] == times

    status, output, _ = run_quick(command, "--seeds", "0", "--force")
    assert status == 0 and "--force runs all 1" in output
    assert paths[0].stat().st_mtime_ns != times[0] and paths[1].stat().st_mtime_ns == times[1]


class Failing(Method):
    name = "failing"
    Config = type("Config", (Frozen,), {})
    broken = True

    def step(self, model, batch, threat, generator) -> StepOutput:
        if self.broken:
            raise ZeroDivisionError("out of luck")
        return StepOutput(nn.functional.cross_entropy(model(batch.x), batch.y), batch.x)


def test_a_failed_cell_does_not_end_the_grid(command: Command, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(METHODS.registered, "failing", Failing)
    monkeypatch.setattr(Failing, "broken", True)
    flags = ("--methods", "failing,standard")

    status, output, errors = run_quick(command, *flags)
    assert (status, errors) == (1, "")
    assert "failed: ZeroDivisionError: out of luck" in output
    assert output.splitlines()[-1].startswith("1 of 2 runs failed")
    records = [store.load_record(path) for path in store.record_files(tmp_path / "results")]
    failed, succeeded = sorted(records, key=lambda record: record.status)
    assert (failed.status, succeeded.status) == ("error", "success")
    artifacts = paths.artifacts_dir(tmp_path / "results", failed.run_id)
    assert "out of luck" in (artifacts / "error.txt").read_text()

    status, output, _ = run_quick(command, *flags)
    assert status == 1 and "1 done" in output and "started" not in output

    Failing.broken = False
    status, output, _ = run_quick(command, *flags, "--retry-failed")
    assert status == 0 and output.count("started") == 1


def test_jobs_are_a_number_or_auto(command: Command, tmp_path: Path) -> None:
    status, output, errors = run_quick(command, "--jobs", "many")
    assert (status, output) == (2, "")
    assert errors == "error: jobs 'many' is not a number above zero: write it like 2, or auto\n"
    assert [path.name for path in tmp_path.iterdir()] == ["quick.yaml"]
    assert run_quick(command, "--jobs", "auto", "--dry-run")[0] == 0


def test_jobs_side_by_side_end_as_one_after_another(command: Command, tmp_path: Path) -> None:
    status, output, errors = run_quick(command, "--seeds", "0,1", "--jobs", "2")
    assert (status, errors) == (0, "")
    for seed in (0, 1):
        name = f"[{seed + 1}/2] Standard · digits · smallcnn · Linf 128/255 · seed {seed}"
        assert f"{name}: started" in output and f"{name}: selected at Linf 128/255" in output
    assert len(store.record_files(tmp_path / "results")) == 2


def test_interrupt_during_a_run_is_one_line_and_130(command: Command, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "execute", interrupted)
    status, output, errors = run_quick(command)
    assert status == 130
    assert errors == "interrupted: the same command resumes at the last checkpoint\n"
    ended, stopped = output.splitlines()[-2:]
    assert ended.startswith("0 of 1 run ended in 0:0")
    assert stopped == "stopped: Standard, seed 0: starting"


@pytest.mark.parametrize(
    ("module", "function", "arguments"),
    [(report_files, "write_report", ["report"]), (plan, "plan_runs", ["run", "quick.yaml"])],
)
def test_interrupt_elsewhere_is_no_traceback(
    command: Command, monkeypatch, module: object, function: str, arguments: list[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, function, interrupted)
    status, _, errors = command(*arguments)
    assert status == 130 and "Traceback" not in errors


def test_a_bug_is_shown_as_one(command: Command, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(find, "states", broken)
    with pytest.raises(ZeroDivisionError):
        command("run", "quick.yaml")


def test_check_holds_a_repeated_run_and_fails_without_it(command: Command, tmp_path) -> None:
    for folder in ("first", "second"):
        assert run_quick(command, "--results", folder)[0] == 0
    reference = ("--reference", "first/leaderboard.json")

    status, output, _ = command("check", "--results", "first", "--update")
    assert status == 0 and "1 references written" in output

    status, output, _ = command("check", "--results", "second", *reference, "--junit", "j.xml")
    assert status == 0
    assert "ok" in output and "regressed" not in output
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()
    assert list(suite.iter("testcase")) and not list(suite.iter("failure"))

    status, _, errors = command("check", "--results", "second")
    assert (status, "second/leaderboard.json or results/leaderboard.json" in errors) == (2, True)
    (tmp_path / "results").mkdir()
    (tmp_path / "first/leaderboard.json").rename(tmp_path / "results/leaderboard.json")
    status, output, _ = command("check", "--results", "second")
    assert status == 0 and "ok against results/leaderboard.json" in output
    assert "3 of them unpaired: the reference's outcomes are not there" in output
    (tmp_path / "results/shipped").mkdir()
    (tmp_path / "results/leaderboard.json").rename(tmp_path / "results/shipped/leaderboard.json")
    status, output, _ = command("check", "--results", "second")
    assert status == 0 and "ok against results/shipped/leaderboard.json" in output
    (tmp_path / "results/shipped/leaderboard.json").rename(tmp_path / "first/leaderboard.json")

    status, output, _ = command("check", "--results", "empty", *reference, "--junit", "j.xml")
    assert status == 1 and "missing" in output
    assert "PGD-20" in output and "pgd_acc" not in output + (tmp_path / "j.xml").read_text()
    assert list(ElementTree.parse(tmp_path / "j.xml").getroot().iter("failure"))


def test_check_renews_references_and_writes_verdicts_or_neither(command: Command, tmp_path) -> None:
    write_run(tmp_path / "results", make_spec())
    assert command("check", "--update")[0] == 0
    before = (tmp_path / "results/leaderboard.json").read_bytes()
    write_run(tmp_path / "results", make_spec(seed=1))
    (tmp_path / "file").touch()
    for junit in ("results/leaderboard.json", "file/j.xml", "results"):
        status, _, errors = command("check", "--update", "--junit", junit)
        assert (status, errors.count("\n")) == (2, 1)
        assert (tmp_path / "results/leaderboard.json").read_bytes() == before
    status, _, errors = command("check", "--results", "empty", "--update", "--junit", "j.xml")
    assert status == 2 and "no record" in errors and not (tmp_path / "j.xml").exists()
    assert command("check", "--update", "--junit", "j.xml")[0] == 0
    assert (tmp_path / "j.xml").exists()
    assert (tmp_path / "results/leaderboard.json").read_bytes() != before


def test_check_fails_on_a_warned_of_score_until_it_is_allowed(command: Command, tmp_path) -> None:
    raised = {"checks": ("softmax-output", "zero-gradients")}
    write_run(tmp_path / "results", make_spec(), scored=raised)
    assert command("check", "--update")[0] == 0

    status, output, _ = command("check", "--junit", "j.xml")
    assert status == 1 and "3 ok, 1 unreliable" in output
    assert "reliability" in output
    assert "unreliable: raised softmax-output, zero-gradients" in output
    (failure,) = ElementTree.parse(tmp_path / "j.xml").getroot().iter("failure")
    assert "softmax-output, zero-gradients" in str(failure.get("message"))

    status, output, _ = command("check", "--allow", "softmax-output")
    assert status == 1 and "unreliable: raised zero-gradients" in output
    for flags in (
        ["--allow", "softmax-output,zero-gradients"],
        ["--allow", "softmax-output", "--allow", "zero-gradients"],
    ):
        status, output, _ = command("check", "-v", *flags)
        assert status == 0 and "ok: raised and allowed: softmax-output, zero-gradients" in output

    before = (tmp_path / "results" / paths.LEADERBOARD).read_bytes()
    status, output, errors = command("check", "--update", "--allow", "softmax-outputs")
    assert (status, output) == (2, "")
    assert errors == ("error: unknown check 'softmax-outputs': did you mean 'softmax-output'?\n")
    assert (tmp_path / "results" / paths.LEADERBOARD).read_bytes() == before

    assert command("check", "--update", "--allow", "zero-gradients,softmax-output")[0] == 0
    status, output, _ = command("check", "--verbose")
    assert status == 0 and "raised and allowed: softmax-output, zero-gradients" in output


def test_report_takes_published_numbers_and_checks_with_them(command: Command, tmp_path) -> None:
    write_run(tmp_path / "results", make_spec())
    put(tmp_path / "results", ROW | {"robust": {"AutoAttack": 12.5}})
    flags = ("--with-published", "--reference", "trades")
    assert command("report", "--format", "markdown,csv", *flags)[0] == 0
    assert "12.50" in (tmp_path / "reports" / "report.md").read_text()
    assert command("report", "--check", *flags) == (0, "reports matches results\n", "")
    status, output, errors = command("report", "--check", "--format", "csv")
    assert (status, output) == (2, "") and "leave --format out" in errors

    write_run(tmp_path / "results", make_spec(), autoattack=200)
    status, output, _ = command("report", "--check", *flags)
    assert status == 1
    assert output.splitlines()[-1] == (
        "reports is stale: regmix-bench report --results results --out reports"
        " --with-published --reference trades renews it"
    )
    before = (tmp_path / "reports" / "report.md").read_bytes()
    status, output, errors = command("report", "--reference", "tradse")
    assert (status, output) == (2, "") and "did you mean 'trades'?" in errors
    assert (tmp_path / "reports" / "report.md").read_bytes() == before


def test_list_and_show(command: Command, tmp_path: Path) -> None:
    (spec,) = plan.plan([QUICK | {"methods": ["fgsm-pgi[lambda_=1]"]}])
    path = write_run(tmp_path / "results", spec, autoattack=300)
    status, output, _ = command("list", "runs")
    assert status == 0
    assert "FGSM-PGI (λ = 1)" in output and spec.run_id in output and "83.3%" in output
    for name in (str(path), spec.run_id, spec.run_id[:3]):
        status, output, _ = command("show", name)
        assert status == 0
        assert yaml.safe_load(output)["run_id"] == spec.run_id
        summary = [line for line in output.splitlines() if line.startswith("#")]
        name = "FGSM-PGI (λ = 1) · digits · smallcnn · Linf 128/255 · seed 0"
        assert summary[0] == f"# {name}: success"
        scores = ["94.4%", "86.1%", "83.3%", "[79.1,", "86.8]", "360"]
        assert summary[3].split() == ["#", "selected", "Linf", "128/255", *scores]
        assert "tricks: mass 0.6" in summary[-3] and summary[-1].endswith(path.name)
        assert "history" not in yaml.safe_load(output)
    assert "history" in yaml.safe_load(command("show", "--verbose", spec.run_id)[1])


def test_list_and_show_know_every_kind_of_record(command: Command, tmp_path: Path) -> None:
    square = Scoring(autoattack_version="custom", attacks=("square",))
    given = make_eval_spec("their [net]", scoring=square)
    write_run(tmp_path / "results", given, checkpoint="given", autoattack=180)
    side = {"arch": "smallcnn", "sha256": "0" * 64}
    moved = TransferRecord(
        run_id="abcdef012345",
        dataset="digits",
        data_digest="d" * 64,
        eval_examples=None,
        n_examples=360,
        threat=ThreatModel("Linf", "32/255"),
        attack="pgd-20",
        seed=0,
        runs=tuple(TransferSide(run_id=i, label=i, seed=0, **side) for i in ("one", "two")),
        clean_acc=(0.9, 0.9),
        accuracy=((0.5, 0.7), (0.6, 0.4)),
    )
    store.save_record(tmp_path / "results", moved)

    status, output, _ = command("list", "runs")
    assert status == 0
    lines = {line.split(" · ")[0]: line.split() for line in output.splitlines()[1:]}
    assert lines["their [net]"][-4:] == ["94.4%", "86.1%", "50.0%", "square"]
    assert lines["transfer among 2 runs"][-3:] == ["abcdef012345", "success", "pgd-20"]

    status, output, _ = command("show", given.run_id)
    assert status == 0
    assert output.splitlines()[0].startswith("# their [net] · digits · smallcnn · Linf 32/255")
    assert yaml.safe_load(output)["spec"]["model"]["name"] == "their [net].pt"
    status, output, _ = command("show", "abcd")
    assert status == 0
    assert output.splitlines()[0] == "# transfer among 2 runs · digits · Linf 32/255: success"
    assert yaml.safe_load(output)["accuracy"] == [[0.5, 0.7], [0.6, 0.4]]


@pytest.mark.parametrize(
    ("what", "lines"),
    [
        ("methods", ["regmix", "trades", "fgsm-pgk", "pgd-at"]),
        ("datasets", ["digits", "cifar10", "npz:PATH", "folder:PATH"]),
        ("archs", ["smallcnn", "preactresnet18", "wrn-34-10"]),
        ("suites", ["digits"]),
    ],
)
def test_list(command: Command, what: str, lines: list[str]) -> None:
    status, output, errors = command("list", what)
    first_words = [line.split()[0] for line in output.splitlines()]
    assert (status, errors) == (0, "")
    assert set(lines) <= set(first_words)


def test_version_is_that_of_the_package(command: Command) -> None:
    from importlib.metadata import version

    assert command("--version")[:2] == (0, f"regmix-bench {version('regmix-bench')}\n")


@pytest.mark.parametrize("name", ["run", "report", "check", "list", "show"])
def test_every_help_has_an_example(command: Command, name: str) -> None:
    status, output, _ = command(name, "--help")
    assert status == 0 and f"Example: regmix-bench {name}" in output


def test_a_shell_is_told_how_commands_complete_and_what_comes_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shell in ("bash", "zsh", "fish"):
        monkeypatch.setenv("_REGMIX_BENCH_COMPLETE", f"source_{shell}")
        script = cli()
        assert script.status == 0 and "regmix-bench" in script.out
    monkeypatch.setenv("_REGMIX_BENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "regmix-bench run --dry")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert cli().out.split() == ["--dry-run"]
