"""``tune``: choose the values of methods at equal effort, on held-out training images."""

import re
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from regmix_bench.api.options import (
    EXECUTION,
    GRID,
    RECORDS,
    Address,
    DataDir,
    DeviceName,
    Download,
    Graphs,
    MethodFiles,
    Names,
    Norm,
    Option,
    Results,
    known_methods,
    listed,
    load_method_files,
    verb,
)
from regmix_bench.api.planned import planned_runs
from regmix_bench.errors import UserError
from regmix_bench.grid.launchers import LauncherName
from regmix_bench.registry import FILE_NAME
from regmix_bench.system.shown import Shown, Summary

if TYPE_CHECKING:
    from regmix_bench.records.schema import StudyRecord, TrialLog
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import RunSpec
    from regmix_bench.tuning.tuner import Told

TUNING = "What is tuned, and at which effort"


@dataclass(frozen=True, repr=False)
class Tuning(Shown):
    """The studies of a tuning as far as they are, and the suite of their best once all are done."""

    studies: "tuple[StudyRecord, ...]"
    folder: Path
    suite: Path | None

    @property
    def best(self) -> "dict[str, TrialLog | None]":
        """The best trial of each method, by its label; None where none has come to its end."""
        return {study.label: study.best for study in self.studies}

    def summary(self) -> Summary:
        done = sum(study.finished for study in self.studies)
        line = f"{self.folder}: {done} of {len(self.studies)} studies finished"
        rows = [
            (s.label, str(len(s.trials)), f"{s.best.value:.1%}" if s.best and s.best.value else "")
            for s in self.studies
        ]
        return Summary(line, ("method", "trials", "best"), rows)


@verb
def tune(
    suite: Annotated[
        str | Path | None, Option("A packaged suite's name, or a YAML file.", argument=True)
    ] = None,
    *,
    methods: Annotated[
        Names | None,
        Option("Methods to tune; what stands in brackets is held: fgsm-pgi[reset=10].", GRID),
    ] = None,
    method_files: MethodFiles = None,
    datasets: Annotated[Names | None, Option("digits, cifar10, npz:PATH, …; one.", GRID)] = None,
    archs: Annotated[Names | None, Option("An architecture; see list archs.", GRID)] = None,
    eps: Annotated[Names | None, Option("A training budget, such as 8/255.", GRID)] = None,
    norm: Norm = None,
    settings: Annotated[
        Iterable[str],
        Option(
            "Any key of recipe, scoring or data, or of a method, which then is held:"
            " recipe.epochs=30, trades.beta=3; may be repeated.",
            GRID,
            flag="--set",
        ),
    ] = (),
    trials: Annotated[
        int | None, Option("Trainings of each method; 20 if left out.", TUNING)
    ] = None,
    budget: Annotated[
        str | None,
        Option(
            "The same cost of each method instead: images through the network in training steps,"
            " such as 2e9, or time, such as 90m.",
            TUNING,
        ),
    ] = None,
    include: Annotated[
        Names | None, Option("Fields of the recipe to tune too: recipe.lr.", TUNING)
    ] = None,
    objective: Annotated[
        Literal["pgd-10", "apgd-ce"],
        Option("The attack under which held-out training images are to be right.", TUNING),
    ] = "pgd-10",
    halving: Annotated[
        bool,
        Option(
            "End trials early that are not among the best third at a ninth or a third of their"
            " epochs.",
            TUNING,
        ),
    ] = False,
    seed: Annotated[int, Option("Seed of the studies.", TUNING)] = 0,
    name: Annotated[
        str | None,
        Option(
            "Folder of the studies in results/tuning; after data and budget if left out.", RECORDS
        ),
    ] = None,
    results: Results = "results",
    device: DeviceName = "auto",
    jobs: Annotated[
        str | int,
        Option("Trials at a time, in processes that share the cores: a number or auto.", EXECUTION),
    ] = 1,
    launcher: Annotated[
        LauncherName, Option("Who starts the trials: ray is for a cluster.", EXECUTION)
    ] = "local",
    address: Address = None,
    graphs: Graphs = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    observer: "Observer | None" = None,
    told: "Told | None" = None,
) -> Tuning:
    """Tune methods at equal effort, by robust accuracy on held-out training images.

    Every method gets the same number of trials, or the same cost. A trial is a training with the
    recipe that will be run; no test image is looked at. The studies lie in the results folder, in
    Optuna's journal: killed or interrupted, the same call goes on where it stood, several processes
    share them, and a finished study is read. What was best is written there as a suite, which
    :func:`run` takes.

    Raises :class:`UserError`, before anything is written, for what does not exist or does not fit,
    for a method with nothing to tune, for a folder whose studies are of something else, and where
    Optuna is not installed.
    """
    from regmix_bench.tuning.budgets import parse_budget
    from regmix_bench.tuning.journal import StudyJournal, require_optuna

    require_optuna()
    import torch

    given_budget = parse_budget(trials, budget)
    if not 0 <= seed < 2**31:
        raise UserError(f"--seed {seed} is not a whole number from 0 to 2147483647")
    if address is not None and launcher == "local":
        raise UserError(f"--address {address} is that of a cluster: it needs --launcher ray")
    if suite is None and methods is None:
        raise UserError("nothing to tune: name a suite, such as digits, or --methods")

    from regmix_bench.data import load_dataset, prepare_training
    from regmix_bench.data.sources import split_names
    from regmix_bench.grid.launchers import Placement, load_launcher
    from regmix_bench.grid.local import auto_jobs, parse_jobs
    from regmix_bench.grid.ray_cluster import require_ray
    from regmix_bench.methods import METHODS
    from regmix_bench.methods.configured import mass_of_labels
    from regmix_bench.models import build_model
    from regmix_bench.records import store, studies
    from regmix_bench.records.schema import StudyRecord
    from regmix_bench.runs import runner
    from regmix_bench.runs.observers import Silent
    from regmix_bench.system import machine
    from regmix_bench.system.files import atomic_write
    from regmix_bench.system.signals import no_signal_lost
    from regmix_bench.tuning.plan import held_params, plan_tuning
    from regmix_bench.tuning.studies import Study
    from regmix_bench.tuning.suite import suite_text
    from regmix_bench.tuning.trial import run_trial
    from regmix_bench.tuning.tuner import run_studies

    heard = observer or Silent()
    load_method_files(method_files)
    data_folder = None if data_dir is None else Path(data_dir).absolute()
    given = {
        "methods": known_methods(methods),
        "datasets": None if datasets is None else split_names("--datasets", datasets, data_folder),
        "archs": listed("--archs", archs),
        "eps": listed("--eps", eps),
        "norm": norm,
    }
    given = {key: value for key, value in given.items() if value is not None}
    launch, at_a_time = load_launcher(launcher), parse_jobs(jobs)
    if launcher == "ray":
        require_ray()
    target = machine.choose_device(device)
    machine.choose_execution(target, 0, graphs=graphs)
    said = tuple(settings)
    notes: list[str] = []
    runs = planned_runs(suite, given, said, data_folder, device, notes.append)
    held = held_params(None if suite is None else str(suite), given, said)
    plan = plan_tuning(runs, held, listed("--include", include) or ())
    for note in notes:
        heard.on_note(plan.runs[0].spec, note)
    first = plan.runs[0].spec
    called = name or _default_name(first)
    if not re.fullmatch(FILE_NAME, called):
        raise UserError(f"--name {called!r} is no name of a folder: letters, digits, '.', '_', '-'")
    folder = studies.tuning_folder(Path(results), called)
    for planned in plan.runs:
        runner.require_precisions(planned.spec, target)
    dataset = load_dataset(
        first.dataset, data_folder, download, first.component("dataset"), tested=False
    )
    data = prepare_training(first, torch.device("cpu"), data_folder)
    for planned in plan.runs:
        cls = METHODS[planned.spec.method.name]
        mass_of_labels(cls, planned.spec.recipe, data.num_classes)
    with torch.random.fork_rng([]):  # a network that does not fit the images is refused
        build_model(
            first.arch, data.image_shape, data.num_classes, component=first.component("arch")
        )
    store.check_writable(Path(results))
    journal = StudyJournal(folder)
    tuned = [
        Study(
            journal,
            space,
            StudyRecord(
                name=folder.name,
                study_id="",
                spec=space.spec.model_copy(update={"seed": seed}),
                data_digest=dataset.training_digest,
                n_validation=len(data.validation[1]),
                objective=objective,
                halving=halving,
                space=dict(space.ranges),
                budget=given_budget,
            ),
        )
        for space in plan.spaces
    ]
    for study in tuned:
        study.require_same()
    for study in tuned:
        study.open()
    if not all(study.record().finished for study in tuned):
        work = partial(
            run_trial,
            results=folder,
            objective=objective,
            data_dir=data_folder,
            device=device,
            graphs=graphs,
        )
        place = Placement(folder, target, at_a_time or auto_jobs(target), address=address)
        with closing(journal), no_signal_lost():
            run_studies(tuned, launch, work, place, heard, told or _silent)
    records = tuple(study.save() for study in tuned)
    path = None
    if all(record.finished for record in records):
        path = folder / studies.SUITE
        text = suite_text(plan, records)
        with atomic_write(path) as stream:
            stream.write(text.encode())
    return Tuning(records, folder, path)


def _default_name(spec: "RunSpec") -> str:
    """Return the name of a folder that says what is tuned on."""
    threat = spec.train_threat
    return f"{spec.dataset}-{spec.arch}-{threat.norm}-{threat.epsilon.slug}"


def _silent(trial: "TrialLog", study: "StudyRecord") -> None:
    """Say nothing."""
