"""``suite``: begin a suite file, and check one before hours are spent on it."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from regmix_bench.api.options import DataDir, MethodFiles, Option, load_method_files, verb
from regmix_bench.errors import UserError
from regmix_bench.system.shown import Shown, Summary

if TYPE_CHECKING:
    from regmix_bench.specs import RunSpec

SCHEMA = "suite.schema.json"

#: What a suite may say, with the values that most studies of this size begin with.
EXAMPLE = f"""\
# yaml-language-server: $schema={SCHEMA}
# A first study: two methods against PGD-AT on scikit-learn's digits, three seeds each.
# Its keys are the options of `regmix-bench run`; whatever is left out has its default.

methods: [pgd-at, trades, regmix]  # all of them: regmix-bench list methods
reference: pgd-at                # the row that the others are compared with
datasets: [digits]               # or cifar10, npz:PATH, folder:PATH, …
archs: [smallcnn]                # or resnet18, timm:NAME, …
norm: Linf
eps: [32/255]                    # training budgets, at which the runs are scored too
# threats: [32/255, L2:0.5]      # or score under these, in one norm or several
seeds: [0, 1, 2]                 # a verdict needs three or more

# attacks: [apgd-ce, square]     # in place of AutoAttack's four
# eval_examples: 200             # score a class-balanced sample of the test set

recipe:                          # the same for all methods
  epochs: 30
  lr: 0.1
  schedule: cosine
  augmentation: none
  # awp_gamma: 0.005             # tricks are the recipe's, so every row has them

params:                          # of a method; or in brackets behind its name: "trades[beta=3]"
  trades:
    beta: 6

# grids:                         # several grids that share what stands above
#   - {{eps: [16/255], recipe: {{epochs: 20}}}}
#   - {{eps: [32/255]}}
"""


@dataclass(frozen=True, repr=False)
class CheckedSuite(Shown):
    """The runs that a suite stands for."""

    name: str
    runs: "tuple[RunSpec, ...]"

    def summary(self) -> Summary:
        counts = Counter(spec.label for spec in self.runs)
        many = "s" * (len(self.runs) > 1)
        line = f"{self.name}: {len(self.runs):,} run{many} of {', '.join(counts)}"
        return Summary(line, ("method", "runs"), [(m, str(n)) for m, n in counts.items()])


@verb
def suite(
    action: Annotated[
        Literal["init", "check"],
        Option(
            "init writes a file to begin with, and its JSON Schema for editors beside it; check"
            " plans its runs, and runs none.",
            argument=True,
        ),
    ],
    file: Annotated[
        str | Path, Option("The YAML file; check takes a packaged suite's name too.", argument=True)
    ],
    *,
    method_files: MethodFiles = None,
    data_dir: DataDir = None,
) -> CheckedSuite:
    """Begin a suite file with a commented example, or say which runs a suite stands for.

    Raises :class:`UserError` for a key that a suite does not have, which names the place where it
    belongs, for a value that is refused, for data that is not there, and where the file to begin
    with exists.
    """
    from regmix_bench.data import canonical_name
    from regmix_bench.grid import plan
    from regmix_bench.grid.settings import file_digests
    from regmix_bench.grid.suite_files import load_suite
    from regmix_bench.grid.suite_schema import suite_schema
    from regmix_bench.system.files import atomic_write

    load_method_files(method_files)
    if action == "init":
        if Path(file).suffix not in (".yaml", ".yml"):
            raise UserError(f"a suite is a file such as mine.yaml, not {file}")
        if Path(file).exists():
            raise UserError(f"{file} exists: give another name, or check it")
        schema = json.dumps(suite_schema(), indent=1) + "\n"
        for path, text in ((Path(file), EXAMPLE), (Path(file).with_name(SCHEMA), schema)):
            with atomic_write(path) as stream:
                stream.write(text.encode())
    folder = None if data_dir is None else Path(data_dir).absolute()
    specs = plan.plan(
        load_suite(str(file)),
        canonical_name=lambda name: canonical_name(name, folder, to_train=True),
        digests=file_digests(folder),
    )
    return CheckedSuite(str(file), specs)
