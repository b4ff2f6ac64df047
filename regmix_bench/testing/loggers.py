"""The contract of loggers."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path

from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.store import load_records
from regmix_bench.runs.loggers import Logger
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import MethodSpec, RunSpec
from regmix_bench.testing.contract import (
    Rule,
    Subject,
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    require,
)
from regmix_bench.types import Epsilon, ThreatModel


def it_hears_runs_of_every_kind(subject: Subject) -> None:
    """Tell it of a run that ends well, one that fails, and one that another process has."""
    with tempfile.TemporaryDirectory() as folder:
        _tell(subject.create(), Path(folder))


def it_hears_the_same_run_again(subject: Subject) -> None:
    """Tell a second logger, as after an interrupt, of runs that the first has heard of."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            _tell(subject.create(), Path(folder))


def it_leaves_output_and_records_alone(subject: Subject) -> None:
    """Look at what it prints, and for records that it has made."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            _tell(subject.create(), Path(folder))
        printed = (out.getvalue() + errors.getvalue()).strip()
        require(not printed, f"it prints {printed[:60]!r}, over what `run` shows")
        require(not load_records(Path(folder)), "it writes what looks like a record")


RULES: tuple[Rule, ...] = (
    it_says_what_it_is,
    parameters_are_named_validated_and_written_down,
    it_hears_runs_of_every_kind,
    it_hears_the_same_run_again,
    it_leaves_output_and_records_alone,
)


def _tell(logger: Logger, results: Path) -> None:
    logger.open(results)
    logger.on_plan({}, 3)
    for seed, (error, left) in enumerate(
        ((None, None), ("out of memory", None), (None, "another process has it"))
    ):
        spec = _spec(seed)
        logger.on_start(spec)
        if left is None:
            for epoch in (1, 2):
                logger.on_epoch(spec, _log(epoch))
            logger.on_progress(spec, Progress(stage="training", epoch=1, epochs=2, epoch_share=0.5))
            logger.on_note(spec, 'a line, with "quotes" and ε')
            logger.on_attack(spec, "8/255", "apgd-ce", 0.5)
        logger.on_end(Ending(spec, error=error, left=left))
    logger.close()


def _spec(seed: int) -> RunSpec:
    threat = ThreatModel("Linf", Epsilon("8/255"))
    method = MethodSpec(name="trades", version=1, params={"beta": 6.0}, label="trades")
    return RunSpec(
        method=method,
        dataset="digits",
        arch="smallcnn",
        train_threat=threat,
        eval_threats=(threat,),
        seed=seed,
    )


def _log(epoch: int) -> EpochLog:
    return EpochLog(
        epoch=epoch,
        lr=0.1,
        loss=1 / epoch,
        metrics={"kl": 0.1},
        val_clean_acc=0.9,
        val_fgsm_acc=0.7,
        val_pgd_acc=0.6,
        seconds=1.5,
    )
