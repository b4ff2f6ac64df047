"""The protocol of training methods: a ``name``, a ``Config`` and a ``step``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from regmix_bench.notation import format_value
from regmix_bench.types import Batch, Frozen, StepOutput, ThreatModel

if TYPE_CHECKING:
    from torch import nn


class Citation(NamedTuple):
    """The paper to cite: a BibTeX key, its authors and year, its number on arXiv if it has one.

    ``title`` and ``venue``, such as ``ICLR``, stand in its BibTeX entry.
    """

    key: str
    authors: str
    year: int
    arxiv: str = ""
    title: str = ""
    venue: str = ""


class Method(ABC):
    """A training method: how a batch becomes a loss.

    The trainer calls ``setup`` once, ``on_epoch_start`` with the epoch counted from 1, then for
    every batch ``on_batch_start``, ``step`` and, after the optimiser, ``after_update``.
    ``state_dict`` holds whatever a resumed run needs beyond the model. Raise ``version`` when a
    change alters results.

    Tricks, such as smoothed labels, are the recipe's: a method says by ``smoothed`` and ``refuses``
    what it makes of them. Reports read what a class declares from ``title`` to ``display_name``;
    none of it is part of a run's identity, and all of it may be left out.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    #: The norms under which it is defined; None for all.
    norms: ClassVar[tuple[str, ...] | None] = None
    #: Whether ``evaluated_model`` returns averaged weights, unless the recipe has another average.
    averages_weights: ClassVar[bool] = False
    #: The true class's share of the labels that its authors train on.
    default_true_class_mass: ClassVar[float] = 1.0
    #: What sees smoothed labels: some of "attack", "loss" (the cross-entropy) and "regulariser".
    smoothed: ClassVar[frozenset[str]] = frozenset()
    #: Fields of the recipe that it cannot take off their defaults, each with the reason.
    refuses: ClassVar[Mapping[str, str]] = {}
    #: Whether its steps take batches in which some images have no label.
    takes_unlabelled: ClassVar[bool] = False
    #: Whether its loss contains a gradient of the model: the model is then trained uncompiled.
    second_derivatives: ClassVar[bool] = False
    #: Whether the images that it trains on lie in [0, 1].
    clips_pixels: ClassVar[bool] = True

    # What the trainer sets before ``setup``.
    #: The true class's share of the labels: the authors', unless the recipe says another.
    true_class_mass: float
    #: Whether to keep the average that ``averages_weights`` speaks of.
    keeps_average: bool = True
    #: Whether to keep per-image state in bfloat16, as in a bf16 run. Its range is float32's, which
    #: momentum near 1e-6 needs.
    compact_state: bool = False
    #: Whether an epoch may visit an image twice or not at all, as where some have no label. What
    #: is kept of an image then counts its visits, and not epochs.
    visits_vary: bool = False
    #: The seed of the run, for what is drawn between steps.
    run_seed: int = 0
    #: Epochs of the run, images of a whole batch, and classes of the data.
    epochs: int = 1
    batch_size: int = 128
    num_classes: int = 10

    #: Its name in figures and on pages, such as ``FGSM-PGI``; ``name`` where it is empty.
    title: ClassVar[str] = ""
    #: Signs for hyper-parameters beside the title, such as ``{"lambda_": "λ"}``.
    symbols: ClassVar[Mapping[str, str]] = {}
    #: The loss in one line or a few, as plain text.
    formula: ClassVar[str] = ""
    citation: ClassVar[Citation | None] = None
    #: Place of its rows in tables: the lowest first, equal ones by name.
    rank: ClassVar[int] = 1000
    #: Place in the palette of figures; None leaves it to the name.
    colour: ClassVar[int | None] = None
    #: Whether it is what studies are about: its rows keep their colour in figures of many rows.
    featured: ClassVar[bool] = False

    class Config(Frozen):
        """Hyper-parameters: validated, named, and all of them part of the run's identity."""

    def __init_subclass__(cls) -> None:
        # A method derived from another is another: it is not called, coloured or cited as that one.
        if "name" in vars(cls):
            for key, value in (
                ("title", ""),
                ("formula", ""),
                ("citation", None),
                ("colour", None),
                ("featured", False),
            ):
                if key not in vars(cls):
                    setattr(cls, key, value)

    def __init__(self, config: Any) -> None:
        self.config = config
        self.true_class_mass = self.default_true_class_mass

    @classmethod
    def display_name(cls, config: Any) -> str:
        """Return the title and the hyper-parameters off their defaults: ``FGSM-PGI (λ = 3)``.

        Two configurations have two names.
        """
        changed = (
            f"{cls.symbols.get(key, key)} = {format_value(getattr(config, key))}"
            for key, field in cls.Config.model_fields.items()
            if getattr(config, key) != field.get_default(call_default_factory=True)
        )
        words = ", ".join(changed)
        return f"{cls.title or cls.name} ({words})" if words else cls.title or cls.name

    @property
    def largest_perturbation(self) -> float:
        """Return the largest length of a perturbation that it trains on, as a multiple of ε."""
        return 1.0

    def setup(
        self, dataset_size: int, image_shape: tuple[int, int, int], device: torch.device
    ) -> None:
        """Allocate per-image state for ``dataset_size`` images of ``image_shape`` (C, H, W)."""

    def on_epoch_start(self, epoch: int) -> None:
        """Prepare for ``epoch``, counted from 1."""

    def on_batch_start(self, number: int) -> None:
        """Prepare for the epoch's batch ``number``, counted from 0.

        Python calls it where a step is replayed too. What is done in every so many batches is told
        to the step by ``branch``, or by a tensor that is filled in place.
        """

    @property
    def branch(self) -> Hashable:
        """Name the way that the next step will take, where it depends on more than tensors.

        Steps are recorded on a GPU once for each branch and shape of batch, and replayed without
        Python. So whatever a step takes from the host, such as a flag or a weight that follows the
        epoch, is to be a part of this answer, or it lies in a tensor that is filled in place.
        """
        return None

    @property
    def repeats(self) -> int:
        """Say how many steps in a row are taken on each batch.

        An epoch has as many steps whatever the answer, and so fewer images where it is above 1.
        """
        return 1

    @abstractmethod
    def step(
        self, model: nn.Module, batch: Batch, threat: ThreatModel, generator: torch.Generator
    ) -> StepOutput:
        """Return the loss of one batch.

        ``model`` maps images (B, C, H, W) in [0, 1] to logits (B, K) and is in training mode, in
        which it must be left. All randomness is drawn from ``generator``, which lives on the
        batch's device. Everything is computed in the dtype of ``batch.x``.

        On several devices the batch is this one's share. To give the numbers of one device, the
        loss is a mean over images, noise comes from
        :func:`~regmix_bench.attacks.noise.noise` (as that of all starts there does), and
        a sum over the batch passes through :func:`~regmix_bench.attacks.noise.batch_sum`.

        A step that never asks for the value of a tensor (``.item()``, ``if``, a mask as an index)
        and keeps its state in tensors that it fills in place can be recorded and replayed; any
        other is done in the ordinary way, and a line says why.
        """

    def after_update(self, model: nn.Module) -> None:
        """Look at the model after the optimiser's step; the default does nothing."""

    def evaluated_model(self, model: nn.Module) -> nn.Module:
        """Return the model to validate, save and score: ``model`` unless weights are averaged."""
        return model

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: tensors, numbers and containers of them.

        Every process of a group calls it, and the first one's answer is saved.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state, whose tensors are on the CPU; called after ``setup``."""
