"""The numbers that records hold, each with its bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from regmix_bench.types import LARGEST

#: An accuracy or a p-value.
Share = Annotated[float, Field(ge=0, le=1)]
#: A learning rate, a loss, or whatever else a method measures.
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
#: Of images that pass through networks, and of parameters.
Count = Annotated[int, Field(ge=0, lt=2**63)]
#: Of images of a split: as many rows has a table of outcomes.
Images = Annotated[int, Field(ge=1, le=10**7)]
#: Of classes, and one more than the largest label.
MOST_CLASSES = 10**5
#: Wall-clock time; three centuries, and no more.
Seconds = Annotated[float, Field(ge=0, le=1e10)]
#: Floating-point operations, a multiplication and an addition being two.
Flop = Annotated[float, Field(ge=0, le=1e30)]
#: Floating-point operations a second; no device does fewer than a thousand.
FlopRate = Annotated[float, Field(ge=1e3, le=1e24)]
Joules = Annotated[float, Field(ge=0, le=1e15)]
Bytes = Annotated[int, Field(ge=0, lt=2**63)]
Epoch = Annotated[int, Field(ge=1, lt=2**31)]
