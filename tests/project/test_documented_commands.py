"""Commands and Python blocks of the README and the pages: all are parsed, and run where quick.

A comment ``<!-- not run: … -->`` stands before a block that needs what a test has not: these are
parsed too. Commands without options that make them quick are planned only (``--dry-run``).
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from markdown_it import MarkdownIt
from support.harness import cli
from support.synthetic import make_spec, write_run
from typer.main import get_command

from regmix_bench import run
from regmix_bench.api.planned import Plan
from regmix_bench.cli.commands import app
from regmix_bench.cli.program import run_command  # whose module registers the commands

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/guide/*.md", "results/shipped/*.md")
SHELL = ("bash", "console", "sh", "shell")
#: Pages whose commands are run, too, in this order in one folder; the others' are only parsed.
RUN = ("docs/guide/quickstart.md", "README.md", "docs/guide/*.md", "docs/*.md")
#: Pages with a command whose end they show.
SHOWN = ("README.md", "docs/guide/quickstart.md")
#: What a run of little is given, so that it is over in seconds.
TINY = ("--attacks", "apgd-ce", "--set", "data.train_examples=100", "--device", "cpu")
#: These read all that is shipped, or draw a lot, and have tests of their own.
SLOW = ("power", "check", "verify", "inspect", "transfer", "audit", "test")


class Block(NamedTuple):
    """A block of code on a page, with the comment before it that says why it is not run."""

    page: str
    language: str
    text: str
    kept_back: bool

    def commands(self) -> Iterator[list[str]]:
        """The commands of our own in it, without the prompt, as their arguments."""
        for line in self.text.replace("\\\n", " ").splitlines():
            for command in re.split(r"&&|\|", line.removeprefix("$ ")):
                words = shlex.split(command, comments=True)
                if words[:1] == ["regmix-bench"]:
                    yield words[1:]

    def scripts(self) -> list[str]:
        """The files of Python that it runs."""
        return re.findall(r"^python (\S+\.py)$", self.text, re.M)


def blocks(*patterns: str) -> list[Block]:
    """The blocks of pages, each page once, in the order of their patterns."""
    pages = dict.fromkeys(path for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    found = []
    for path in pages:
        kept_back = False
        for token in MarkdownIt().parse(path.read_text("utf-8")):
            name = path.relative_to(ROOT).as_posix()
            if token.type == "fence":
                language = token.info.split(" ")[0]
                found.append(Block(name, language, token.content, kept_back))
            elif token.type == "code_block" and "regmix-bench " in token.content:
                found.append(Block(name, "bash", token.content, kept_back))
            kept_back = token.type == "html_block" and "<!-- not run: " in token.content
    return found


ALL = blocks(*PAGES)
COMMANDS = {
    (block.page, shlex.join(words)): words
    for block in ALL
    if block.language in SHELL
    for words in block.commands()
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=lambda words: shlex.join(words))
def test_a_command_can_be_typed(words: list[str]) -> None:
    assert run_command
    group = get_command(app)
    if words and words[0].startswith("-"):
        with group.make_context("regmix-bench", [*words, "list"], resilient_parsing=True) as parsed:
            assert parsed.params
        return
    verb, *arguments = words
    # Without an ellipsis, which stands for what a reader fills in.
    arguments = [word for word in arguments if word != "…"]
    group.commands[verb].make_context(verb, arguments)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a checkout, whose results are those of the pages, and of two rows more."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "results").mkdir()
    for name in ("examples", "results/shipped"):
        (folder / name).symlink_to(ROOT / name)
    for method in ("pgd-at", "trades"):
        write_run(folder / "results", make_spec(method))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def test_pages_can_be_followed(checkout: Path) -> None:
    said: dict[str, str] = {}
    for block in blocks(*RUN):
        if name := re.match(r"# (\S+\.(?:yaml|py|toml))\n", block.text):
            Path(name[1]).write_text(block.text)
        if block.language not in SHELL or block.kept_back:
            continue
        for script in block.scripts():
            runpy.run_path(script)
        for verb, *arguments in block.commands():
            if verb.startswith("-") or verb in SLOW:
                continue
            answered = cli(verb, *quickly(verb, arguments))
            assert answered.status == 0, (block.page, verb, arguments, answered)
            said[shlex.join((verb, *arguments))] = answered.out
    small = next(out for line, out in said.items() if "--eval-examples 50" in line)
    for page in SHOWN:
        ends_as_shown(page, small)
    compared = shown_on("docs/guide/quickstart.md")[1]
    assert said["compare eef7 9fe8"].split() == compared.split()
    assert said["report"].splitlines()[-1] == "open reports/report.md"
    assert list(checkout.glob("reports/tables/*.tex"))


def quickly(verb: str, arguments: list[str]) -> list[str]:
    if verb == "run" and "--dry-run" not in arguments:
        return [*arguments, *(TINY if "--eval-examples" in arguments else ["--dry-run"])]
    if verb == "report" and "--format" not in arguments:
        return [*arguments, "--format", "markdown"]
    return arguments


def shown_on(page: str) -> list[str]:
    """What a page shows that commands print."""
    return [block.text for block in ALL if (block.page, block.language) == (page, "text")]


def ends_as_shown(page: str, said: str) -> None:
    """A small grid ends with the table that a page shows, whatever its numbers."""
    shown = shown_on(page)[0]
    for line in (1, -1):
        assert shown.splitlines()[line].split() == said.rstrip().splitlines()[-6:][line].split()


@pytest.mark.parametrize("page", SHOWN)
def test_runs_of_a_shown_table_have_the_ids_of_the_command_above_it(page: str) -> None:
    options = {"--methods": "methods", "--eps": "eps", "--eval-examples": "eval_examples"}
    ids = re.findall(r" ([0-9a-f]{8})$", shown_on(page)[0], re.M)
    typed = next(
        words
        for (where, _), words in COMMANDS.items()
        if where == page and "recipe.true_class_mass=0.6" in words
    )
    asked: dict[str, Any] = {"settings": []}
    for option, value in zip(typed[1::2], typed[2::2], strict=True):
        if option == "--set":
            asked["settings"].append(value)
        else:
            asked[options[option]] = int(value) if option == "--eval-examples" else value
    planned = run(**asked, device="cpu", dry_run=True)
    assert isinstance(planned, Plan)
    assert [cell.run_id[:8] for cell in planned.cells] == ids


def test_the_package_of_a_method_installs_and_keeps_the_contract_with_pytest_alone(
    tmp_path: Path,
) -> None:
    for block in ALL:
        if name := re.match(r"# ((?:test_)?my_method\.py|pyproject\.toml)\n", block.text):
            (tmp_path / name[1]).write_text(block.text)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps")
    options = ("--no-build-isolation", "--target", "site", ".")
    subprocess.run([*pip, *options], cwd=tmp_path, check=True, timeout=120)
    (tmp_path / "my_method.py").unlink()
    alone = "import sys; sys.modules['hypothesis'] = None; import pytest; sys.exit(pytest.main())"
    answered = subprocess.run(
        [sys.executable, "-c", alone],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "site", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert " 1 passed" in answered.stdout, answered


PYTHON = [block for block in ALL if block.language == "python" and not block.kept_back]


@pytest.mark.parametrize("page", dict.fromkeys(block.page for block in PYTHON))
def test_python_blocks_run(page: str, checkout: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    for block in PYTHON:
        if block.page == page:
            exec(compile(block.text, page, "exec"), names)
