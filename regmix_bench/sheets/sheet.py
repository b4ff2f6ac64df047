"""A study sheet: the facts behind each row of a study's tables, as its author writes them down.

Whatever is left out counts as not said, and is not compared. Percentages run from 0 to 100, as they
stand in tables. Nothing here imports torch, or reads a record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, WrapValidator, model_validator

from regmix_bench.errors import UserError
from regmix_bench.types import Frozen, ThreatModel

Percent = Annotated[float, Field(ge=0, le=100)]
Text = Annotated[str, Field(min_length=1)]
#: Counts and sizes are numbers that floats, and files of other programs, can hold as well.
Size = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, lt=2**63)]
NO_EXTRA_DATA = "none"


def _either(words: str) -> WrapValidator:
    """Refuse a value of several kinds in one line, where pydantic would have one for each."""

    def validate(value: object, validated: Callable[[object], object]) -> object:
        try:
            return validated(value)
        except ValidationError:
            raise ValueError(f"input should be {words}") from None

    return WrapValidator(validate)


def _in_its_place(value: object, validated: Callable[[object], ThreatModel]) -> ThreatModel:
    try:
        return validated(value)
    except UserError as error:  # to which pydantic would add no place
        raise ValueError(str(error)) from error


NumberOrText = Annotated[float | Text, _either("a number or a text")]
NumberOrNone = Annotated[float | Literal["none"], _either("a number or 'none'")]
#: Why a broken rule is allowed: everywhere, or in the tables that are named.
Allowance = Annotated[
    Text | Annotated[dict[Text, Text], Field(min_length=1)],
    _either("a reason, or a reason for each table that is named"),
]
Threat = Annotated[ThreatModel, WrapValidator(_in_its_place)]


class _Facts(Frozen):
    """Facts as JSON holds them: a text is no number, and a truth is none either."""

    model_config = ConfigDict(strict=True)


class Training(_Facts):
    """The recipe of a row: ``lr`` is the highest learning rate, ``last_lr`` that of the last step.

    ``epochs`` are those that the program counts. ``precision`` is that of training, such as fp32.
    """

    epochs: Count | None = None
    batch_size: Count | None = None
    optimizer: Text | None = None
    lr: float | None = Field(None, gt=0)
    last_lr: float | None = Field(None, ge=0)
    momentum: NumberOrText | None = None
    weight_decay: float | None = Field(None, ge=0)
    schedule: Text | None = None
    augmentation: Text | None = None
    precision: Text | None = None

    @model_validator(mode="after")
    def _the_highest_rate_is(self) -> Self:
        if self.lr is not None and self.last_lr is not None and self.last_lr > self.lr:
            raise ValueError(f"last_lr {self.last_lr:g} is above lr {self.lr:g}, the highest rate")
        return self


class RowTricks(_Facts):
    """Helps for any method that are part of none; ``none`` where a row goes without one.

    ``true_class_mass`` is the share of the label that the true class keeps in the training loss,
    ``attack_mass`` that in the loss of the attack that trains; 1 is a hard label. ``ema_decay`` is
    that of an average of weights, ``awp_gamma`` the size of an adversarial weight perturbation,
    either with words where there is more to say (``0.9995 from epoch 75``); ``gradient_clip`` the
    largest length of a gradient of the weights.
    """

    true_class_mass: float | None = Field(None, gt=0, le=1)
    attack_mass: float | None = Field(None, gt=0, le=1)
    ema_decay: NumberOrText | None = None
    awp_gamma: NumberOrText | None = None
    gradient_clip: NumberOrNone | None = None


class ScoredWeights(_Facts):
    """The weights that were scored.

    They are ``raw`` or ``averaged``, or ``mixed``: whichever were better; and of the epoch that
    was ``selected``, or of the ``last``.
    """

    kind: Literal["raw", "averaged", "mixed"] | None = None
    epoch: Literal["selected", "last"] | None = None


class Selection(_Facts):
    """The rule by which an epoch was selected, and the images that it was asked on.

    ``images_from`` is the split that they come from, and ``trained_on`` says whether they were
    training images at the same time.
    """

    rule: Text | None = None
    images: Size | None = None
    images_from: Literal["training", "test", "none"] | None = None
    trained_on: bool | None = None


class Measurement(_Facts):
    """The measurement of robustness: on so many images, of a test set of so many.

    ``autoattack`` is the version of AutoAttack's ensemble (standard, plus, rand), ``none`` where it
    did not run, or the attacks that took its place. ``package`` is the program and its version.
    """

    images: Count | None = None
    test_images: Count | None = None
    autoattack: Text | None = None
    package: Text | None = None
    seed: Size | None = None
    batch_size: Count | None = None
    precision: Text | None = None

    @model_validator(mode="after")
    def _images_are_test_images(self) -> Self:
        if self.images is not None and self.images > (self.test_images or self.images):
            raise ValueError(f"images {self.images} are more than test_images {self.test_images}")
        return self


class HyperParameter(_Facts):
    """The weight of a term, or another number of a method, and that of the method's authors."""

    value: float
    authors: float


class Claim(_Facts):
    """An accuracy as a table shows it: the mean over seeds, with what says how sure it is.

    ``deviation`` is the standard deviation over seeds, ``interval`` the ends of an interval.
    """

    mean: Percent
    deviation: float | None = Field(None, ge=0, le=100)
    interval: tuple[Percent, Percent] | None = None

    @model_validator(mode="after")
    def _an_interval_begins_below(self) -> Self:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("interval ends below where it begins")
        return self


class SeedRun(_Facts):
    """One training of a row, counted in its means or left out.

    ``numbers`` are its accuracies by attack, as in the row. ``warnings`` are those of AutoAttack,
    as records name them, and ``record`` is the run_id of the record that bears the numbers out.
    """

    seed: Size
    counted: bool = True
    numbers: dict[Text, Percent] = {}
    selected_epoch: Count | None = None
    warnings: tuple[Text, ...] = ()
    record: Text | None = None
    why_left_out: Text | None = None

    @model_validator(mode="after")
    def _a_reason_is_for_leaving_out(self) -> Self:
        if self.counted and self.why_left_out is not None:
            raise ValueError("why_left_out is said of a run that is counted: write counted: false")
        return self


class OverfittedRuns(_Facts):
    """Runs of a row that overfitted catastrophically by an epoch, whichever epoch is scored."""

    runs: Count
    by: Count


class SheetRow(_Facts):
    """One row of a table.

    ``threat`` is the one that the table says; ``trained_under`` and ``attacked_under`` are those of
    the program where they differ. ``numbers`` are what the table shows, by attack: ``clean``,
    ``autoattack``, and whatever else, such as ``pgd-20``. ``tuned_on`` says where the
    hyper-parameters come from, ``labelled_images`` how many training images kept their label, all
    of them where it is left out. ``files`` are paths or addresses of what bears the numbers out.
    """

    method: Text
    architecture: Text
    dataset: Text
    train_images: Count | None = None
    labelled_images: Count | None = None
    extra_data: Text | None = None
    threat: Threat
    trained_under: Threat | None = None
    attacked_under: Threat | None = None
    recipe: Training = Training()
    tricks: RowTricks = RowTricks()
    weights: ScoredWeights = ScoredWeights()
    selection: Selection = Selection()
    measurement: Measurement = Measurement()
    tuned_on: Literal["authors", "beforehand", "validation", "test"] | None = None
    hyperparameters: dict[Text, HyperParameter] = {}
    overfitting: OverfittedRuns | None = None
    numbers: dict[Text, Claim] = {}
    runs: tuple[SeedRun, ...] = ()
    files: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _a_run_stands_once(self) -> Self:
        seeds = [run.seed for run in self.runs]
        records = [run.record for run in self.runs if run.record is not None]
        for name, named in (("seed", seeds), ("record", records)):
            if len(set(named)) < len(named):
                raise ValueError(f"a {name} stands twice")
        return self

    @model_validator(mode="after")
    def _runs_and_epochs_are_of_the_row(self) -> Self:
        if self.overfitting is not None and self.overfitting.runs > (len(self.runs) or math.inf):
            raise ValueError(f"overfitting.runs are more than the {len(self.runs)} runs")
        epochs = self.recipe.epochs or math.inf
        late = {f"selected_epoch of seed {run.seed}": run.selected_epoch for run in self.runs}
        if self.overfitting is not None:
            late["overfitting.by"] = self.overfitting.by
        for name, epoch in late.items():
            if epoch is not None and epoch > epochs:
                raise ValueError(f"{name} is epoch {epoch} of {epochs}")
        return self

    @property
    def labels(self) -> int | str:
        """The number of training images that kept their label, or ``all``."""
        if self.labelled_images in (None, self.train_images):
            return "all"
        return self.labelled_images

    @property
    def counted(self) -> tuple[SeedRun, ...]:
        """The runs that the means count."""
        return tuple(run for run in self.runs if run.counted)


class SheetTable(_Facts):
    """Rows that a reader compares with one another.

    ``ranked_by`` is the attack by whose accuracy the best row is told, and ``overfitting_shown``
    says whether the table shows which runs overfitted catastrophically.
    """

    title: Text | None = None
    ranked_by: Text | None = None
    overfitting_shown: bool = False
    rows: tuple[SheetRow, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _a_method_stands_once(self) -> Self:
        names = [row.method for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("a method stands twice: give each row a name of its own")
        return self


class Sheet(_Facts):
    """A study: its tables by name, and the rules that it breaks with a reason."""

    title: Text
    source: Text | None = None
    url: str | None = Field(None, pattern="^https://")
    tables: dict[Text, SheetTable] = Field(min_length=1)
    allow: dict[Text, Allowance] = {}

    def reasons(self, rule: str) -> Iterator[tuple[str | None, str]]:
        """Yield each reason for which a rule may be broken, and its table, None being all."""
        found = self.allow.get(rule, {})
        yield from [(None, found)] if isinstance(found, str) else found.items()
