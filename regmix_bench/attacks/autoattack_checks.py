"""The warnings of AutoAttack, under names that are recorded, and the checks of a model.

The authors' package logs its warnings, and what it checks it leaves traces of in the process.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping

from pyautoattack import checks
from torch import Tensor, nn

from regmix_bench.models.logits import depend_on_batch, differ_between_calls

#: The logger of the authors' package, and of all that warns in its way.
LOGGER = logging.getLogger("auto-attack")

#: What the package warns of → the name under which it is recorded.
WARNINGS = {
    "randomized defense": "randomized-model",
    "probability distribution": "softmax-output",
    "zero gradient": "zero-gradients",
    "dynamic defense": "dynamic-model",
    "rest of the batch": "batch-dependent-model",
    "Square Attack has decreased": "square-stronger-than-white-box",
}


def check_behaviour(model: nn.Module, x: Tensor, y: Tensor, randomized: bool) -> int:
    """Check a model as the package does before it attacks; returns the number of classes.

    ``randomized`` says that the model is known to be random. Of another one it is asked whether an
    image's logits depend on the rest of the batch, which the package does not ask. Its check of
    dynamic models counts calls in a table of the process, where one model's would be the next
    one's, and ends any tracing, a debugger's or a coverage tool's: both are undone.
    """
    if not randomized:
        checks.check_randomized(model, x, y, logger=LOGGER)
    # The package compares directions alone, where a model may also change in scale.
    if differ_between_calls(model, x):
        if not randomized:
            LOGGER.warning("the model is a randomized defense: two calls differ")
    elif depend_on_batch(model, x):
        LOGGER.warning("the logits of an image depend on the rest of the batch")
    classes: int = checks.check_range_output(model, x, logger=LOGGER)
    tracer, counts = sys.gettrace(), dict(checks.funcs)
    checks.funcs.update(dict.fromkeys(counts, 0))
    try:
        checks.check_dynamic(model, x, logger=LOGGER)
    finally:
        sys.settrace(tracer)
        checks.funcs.update(counts)
    return classes


def check_square(after_attack: Mapping[str, float]) -> None:
    """Warn, as the package does, where Square broke what no gradient attack did.

    ``after_attack`` is the accuracy before all attacks and after each, by name.
    """
    checks.check_square_sr(dict(after_attack), logger=LOGGER)


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect the names of what is warned of while the block runs."""
    raised: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            name = next((WARNINGS[key] for key in WARNINGS if key in message), None)
            if name is None:  # of a later version of the package
                logging.getLogger(__name__).warning("AutoAttack warns: %s", message)
            if (known := name or "other-warning") not in raised:
                raised.append(known)

    handler = Collect(logging.WARNING)
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.WARNING)  # whatever the program around us wants to see
    LOGGER.propagate = False
    LOGGER.addHandler(handler)
    try:
        yield raised
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = propagate
        LOGGER.setLevel(level)
