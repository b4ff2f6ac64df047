"""The epoch loop. It knows a Method, never a method's name.

In a group of processes each trains on its share of every batch, whose gradients are averaged: the
batch size and the learning rate are those of the recipe, however many devices there are. All hold
the same model at every step; the first alone writes.

Everything random in an epoch follows from the run's seed and the epoch's number, so a run resumed
at a checkpoint does what the undisturbed run would have done.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regmix_bench.attacks.noise import epoch_generator, epoch_seed
from regmix_bench.data import TrainingData
from regmix_bench.distributed.collectives import all_sum, on_first, rank, size
from regmix_bench.distributed.group import finished_first
from regmix_bench.errors import UserError, reason
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.protocol import Method
from regmix_bench.models.execution import ModelRunner
from regmix_bench.models.weights import Description
from regmix_bench.records.progress import ProgressMeter
from regmix_bench.records.schema import Alarm, Cost, EpochLog, PerturbationLength
from regmix_bench.records.selection import chosen_epochs
from regmix_bench.replay.recorders import recorder_for
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import CannotWrite, sweep
from regmix_bench.system.machine import Execution
from regmix_bench.training.history import TrainingProgress
from regmix_bench.training.keeper import StateKeeper
from regmix_bench.training.meter import WorkMeter
from regmix_bench.training.optim import load_optimizer, make_optimizer, make_schedule
from regmix_bench.training.pseudo_labels import PseudoLabels
from regmix_bench.training.rehearsal import Rehearsal, tell_method
from regmix_bench.training.states import States
from regmix_bench.training.steps import make_steps
from regmix_bench.training.totals import EpochTotals
from regmix_bench.training.update import LENGTH, LONGEST, Update
from regmix_bench.training.validation import Validation
from regmix_bench.types import TrainedCheckpoint


class Trainer:
    """Trains one model, from the newest whole state in ``directory`` where there is one.

    ``say`` gets a line for each state that is not whole.
    """

    #: Those that it trains on, where another model gave some.
    pseudo_labels: PseudoLabels | None = None

    def __init__(
        self,
        spec: RunSpec,
        data: TrainingData,
        model: nn.Module,
        method: Method,
        directory: Path,
        device: torch.device,
        execution: Execution,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.spec, self.data, self.method, self.directory = spec, data, method, directory
        self.device, self.say = device, say
        self.model = model
        recipe = spec.recipe
        self.trained = ModelRunner(model, self._trainable(execution), recipe.precision)
        self.validation = Validation(
            model,
            *data.validation,
            spec.train_threat,
            execution,
            spec.scoring.forward_batch_size,
            recipe.validation_precision,
            recorder_for(device) if execution.graphs else None,
            say,
        )
        self.optimizer = make_optimizer(model.parameters(), recipe, device, execution.graphs)
        self.scheduler = make_schedule(self.optimizer, recipe, len(data.train))
        averaged = isinstance(recipe.ema_decay, float)
        self.average = WeightAverage(recipe.ema_buffers) if averaged else None
        update = Update(
            model, self.trained, method, spec.train_threat, self.optimizer, recipe, self.average
        )
        self.steps = make_steps(update, device, execution, say)
        tell_method(method, spec, data)
        own_average = method.averages_weights and method.keeps_average
        self.averages = self.average is not None or own_average
        method.setup(data.train.size, data.image_shape, device)
        self.progress = TrainingProgress([], [], {}, Cost())
        self._whole = True  # no epoch is half trained
        on_first(lambda: sweep(directory))
        states = States(directory, spec.run_id)
        self._resume(states)
        about = Description(
            arch=spec.arch,
            image_shape=data.image_shape,
            num_classes=data.num_classes,
            component=spec.component("arch"),
        )
        progress = self.progress
        self.keeper = StateKeeper(states, about, progress.epoch, progress.checkpoints)

    def _trainable(self, execution: Execution) -> Execution:
        """``execution`` without what the method's steps do not bear."""
        if not (self.method.second_derivatives and execution.compile):
            return execution
        self.say("training is not compiled: torch's compiler cannot derive what it has derived")
        return dataclasses.replace(execution, compile=False)

    def run(
        self,
        on_epoch: Callable[[EpochLog], None] = lambda log: None,
        meter: ProgressMeter | None = None,
    ) -> None:
        """Train to the last epoch, or to a loss that is not finite (``failure`` then says so).

        However it ends, what is worth keeping is on disk then, and ``progress`` says where.
        """
        on_first(self._save_log)  # an earlier try may have logged what the newest state lacks
        try:
            with finished_first(self.keeper.flush):
                if self.progress.epoch < self.spec.recipe.epochs:
                    rehearsal = Rehearsal(self.spec, self.data, self.method, self.device)
                    self.progress.cost += rehearsal.warm_up(self.trained, self.say)
                    work = WorkMeter(self.device, rehearsal.flop_per_image(self.model))
                    self._train(on_epoch, work, meter or ProgressMeter(lambda progress: None))
                self.progress.checkpoints = on_first(self.keeper.flush)
        except BaseException as error:
            self._rescue(error)
            raise

    def _train(
        self, on_epoch: Callable[[EpochLog], None], worked: WorkMeter, meter: ProgressMeter
    ) -> None:
        progress, last = self.progress, self.spec.recipe.epochs
        for epoch in range(progress.epoch + 1, last + 1):
            self._whole = False
            lr = self.optimizer.param_groups[0]["lr"]
            meter.start_epoch(epoch, last)
            worked.start()
            means, cost, images = self._train_epoch(epoch, meter)
            work = worked.stop(images, cost.passes)
            progress.cost += cost  # of one that comes to nothing too
            if not all(map(math.isfinite, means.values())):
                progress.failure = f"the loss is not finite in epoch {epoch}"
                progress.alarms.append(
                    Alarm(kind="non-finite-loss", epoch=epoch, message=progress.failure)
                )
                return
            log = self.validate(epoch, lr, means, cost.seconds).model_copy(update={"work": work})
            progress.history.append(log)
            meter.end_epoch(cost.passes + self.validation.passes * (1 + self.averages))
            due = on_first(self.keeper.due) or epoch == last
            self._keep_weights(epoch)
            self._whole = True
            on_first(self._save_log)
            if due:
                self.keeper.keep(epoch, self._state)
            on_epoch(log)

    def _keep_weights(self, epoch: int) -> None:
        """Copy the weights of the checkpoints that ``epoch`` is, so far."""
        recipe, at_end = self.spec.recipe, epoch == self.spec.recipe.epochs
        if recipe.selection == "last" and not at_end:
            return
        main, raw = self.evaluated_model(), self.raw_model()
        models: dict[TrainedCheckpoint, nn.Module] = {"selected": main, "last": main}
        if self.averages:
            models |= {"raw-selected": raw, "raw-last": raw}
        chosen = chosen_epochs(self.progress.history, recipe.selection)
        for checkpoint, model in models.items():
            if chosen[checkpoint] == epoch and (at_end or checkpoint.endswith("selected")):
                self.keeper.keep_weights(checkpoint, epoch, model)

    def _rescue(self, error: BaseException) -> None:
        """Write what there is, where ``error`` ends the training; a group has the newest copy."""
        if rank() > 0 or error is self.keeper.error:
            return
        try:
            if size() == 1 and self._whole and self.keeper.epoch < self.progress.epoch:
                self.keeper.keep(self.progress.epoch, self._state)
            self.progress.checkpoints = self.keeper.flush()
        except (CannotWrite, PermissionError) as refused:
            self.say(f"the newest state is lost: {refused}")

    def _train_epoch(self, epoch: int, meter: ProgressMeter) -> tuple[dict[str, float], Cost, int]:
        """One pass over the training set; the host waits for the device only at its end.

        Returns the means over the images, as :class:`EpochTotals` has them, their cost, and how
        many there were.
        """
        order = epoch_generator(self.device, self.spec.seed, epoch, "data")
        batches = self.data.train.epoch(order, self.method.repeats)
        self.method.on_epoch_start(epoch)
        self.model.train()
        steps, captured = self.steps, self.steps.capture_seconds
        steps.start_epoch(epoch, epoch_seed(self.spec.seed, epoch, "attack"))
        totals, by_batch = EpochTotals(), self.spec.recipe.schedule_step == "batch"
        total, waited = len(self.data.train), self.device.type == "cpu"
        started = time.perf_counter()
        for number, batch in enumerate(batches):
            self.method.on_batch_start(number)
            totals.add(steps(batch), batch)
            passes = (steps.forward_images + steps.backward_images) * size()
            meter.step((number + 1) / total, passes, waited)
            if by_batch:
                self.scheduler.step()
        if not by_batch:
            self.scheduler.step()
        means = totals.finish()
        counted = torch.tensor([steps.forward_images, steps.backward_images], device=self.device)
        forward, backward = all_sum(counted).tolist()
        captured = steps.capture_seconds - captured
        cost = Cost(
            seconds=time.perf_counter() - started - captured,
            forward_images=forward,
            backward_images=backward,
            capture_seconds=captured,
        )
        return means, cost, totals.images

    def evaluated_model(self) -> nn.Module:
        """Return what the method and weight averaging make of the trained model: the one scored."""
        model = self.method.evaluated_model(self.model)
        return self.average.apply_to(model) if self.average is not None else model

    def raw_model(self) -> nn.Module:
        """Return the model of the weights that the optimiser moves, whatever is averaged."""
        averages = self.method.averages_weights
        return self.model if averages else self.method.evaluated_model(self.model)

    def validate(self, epoch: int, lr: float, means: dict[str, float], seconds: float) -> EpochLog:
        """Measure clean, FGSM and PGD-10 accuracy, held out, from the same start each epoch.

        Where weights are averaged, that of the raw ones too. ``means`` holds the loss, the method's
        metrics and the lengths of perturbations, of the epoch of ``seconds``.
        """
        captured = self.validation.capture_seconds
        main, raw = self.evaluated_model(), self.raw_model()
        found = self.validation.measure(main)
        beside = self.validation.measure(raw) if main is not raw else None
        captured = self.validation.capture_seconds - captured
        self.progress.cost += Cost(capture_seconds=captured)
        loss, mean, longest = (means.pop(name) for name in ("loss", LENGTH, LONGEST))
        return EpochLog(
            epoch=epoch,
            lr=lr,
            loss=loss,
            metrics=means,
            val_clean_acc=found.clean,
            val_fgsm_acc=found.fgsm,
            val_pgd_acc=found.pgd,
            raw_val_clean_acc=beside and beside.clean,
            raw_val_fgsm_acc=beside and beside.fgsm,
            raw_val_pgd_acc=beside and beside.pgd,
            seconds=seconds,
            perturbation=PerturbationLength(mean=mean, max=longest),
        )

    def _save_log(self) -> None:
        self.progress.save_log(self.directory)

    def _state(self) -> dict[str, Any]:
        """What a run resumes from, between two epochs; every process of a group has to ask."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "method": self.method.state_dict(),
            "average": self.average.state_dict() if self.average else {},
            "history": [log.model_dump() for log in self.progress.history],
            "alarms": [alarm.model_dump() for alarm in self.progress.alarms],
            "cost": self.progress.cost.model_dump(),
        }

    def _resume(self, states: States) -> None:
        found = states.load(torch.device("cpu"), self.say)  # whose memory a prior fits into twice
        if found is None:
            return
        state, checkpoints = found
        try:
            self.model.load_state_dict(state["model"])
            load_optimizer(self.optimizer, state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.method.load_state_dict(state["method"])
            self.progress = TrainingProgress.restored(state, checkpoints)
            if self.average is not None:
                self.average.load_state_dict(state["average"])
                begun = self.progress.epoch >= self.spec.recipe.ema_start
                if self.average.is_of(self.model) != begun:
                    raise ValueError("its averages are not those of this training")
            if self.averages and checkpoints and "raw-selected" not in checkpoints:
                raise ValueError("it has averaged weights alone")
        except torch.OutOfMemoryError:
            raise
        except (Exception, SystemExit) as error:  # a method reads its own state
            raise UserError(
                f"{self.directory}: the state of this training was written by another version and"
                f" cannot be resumed ({reason(error)}); --force trains anew"
            ) from error
