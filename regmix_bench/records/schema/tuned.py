"""The provenance of values that were tuned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from regmix_bench.records.schema.quantities import Count, Seconds, Share
from regmix_bench.types import Frozen, JSONValues

#: What methods were given the same of: trainings, images through the network, seconds.
Equal = Literal["trials", "passes", "seconds"]

#: What a trial is valued by, on held-out images of the training set.
TrialObjective = Literal["pgd-10", "apgd-ce"]


class Tuned(Frozen):
    """The study that chose a run's values, and its effort; no part of the run's identity.

    ``study`` is its folder and the method's label, ``study_id`` its identity, and ``training_id``
    that of the training which it is the provenance of. Of its ``trials``,
    pruned and failed ones included, number ``trial`` was best, at a robust accuracy ``value``, 0 to
    1. ``values`` are what was chosen, by the keys that ``--set`` takes; methods of the study had
    the same of what ``equal`` says.
    """

    study: str = Field(max_length=300)
    study_id: str = Field(pattern="^[0-9a-f]{12}$")
    training_id: str = Field(pattern="^[0-9a-f]{12}$")
    trial: Count
    trials: Count
    passes: Count
    seconds: Seconds
    equal: Equal
    objective: TrialObjective
    value: Share
    values: JSONValues
