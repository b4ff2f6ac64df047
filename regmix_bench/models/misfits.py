"""Tensors of a file that are not the state of a model: their keys, and what would mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# Batch norm's count of batches, which no model asks for in evaluation.
_COUNT = "num_batches_tracked"

# Of keys that do not fit, so many are named and the others counted.
_NAMED_KEYS = 3

# Where the model of timm lies in ours.
_TIMM = "trunk.0."

# Names that torch's wrappers put into keys: DataParallel, torch.compile, FSDP, checkpointing.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def same_memory(expected: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return of a model's state what ``tensors`` lack but fill under another name."""

    def place(value: Tensor) -> tuple[object, ...]:
        return value.data_ptr(), value.shape, value.stride(), value.dtype

    state = {
        key: value
        for key, value in expected.items()
        if isinstance(value, Tensor) and value.layout == torch.strided
    }
    filled = {place(value) for key, value in state.items() if key in tensors and value.numel()}
    return {
        key: value for key, value in state.items() if key not in tensors and place(value) in filled
    }


def misfits(expected: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Return what keeps ``tensors`` from being the state ``expected``: keys, by what is wrong."""
    shared = {
        key: (tensors[key], value)
        for key, value in expected.items()
        if key in tensors and isinstance(value, Tensor)
    }
    missing = expected.keys() - tensors.keys() - same_memory(expected, tensors).keys()
    groups = {
        "missing": sorted(key for key in missing if not key.endswith(_COUNT)),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "of another shape": [
            f"{key} {tuple(given.shape)} instead of {tuple(value.shape)}"
            for key, (given, value) in shared.items()
            if given.shape != value.shape
        ],
        "of another type": [
            f"{key} {given.dtype} instead of {value.dtype}"
            for key, (given, value) in shared.items()
            if given.is_floating_point() != value.is_floating_point() and not key.endswith(_COUNT)
        ],
    }
    return {what: keys for what, keys in groups.items() if keys}


def misfit_words(problems: Mapping[str, Sequence[str]]) -> str:
    """Say what is wrong with how many keys, and name the first of them."""
    return "; ".join(f"{len(keys)} {what} ({first_few(keys)})" for what, keys in problems.items())


def misfit_advice(expected: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return advice where names of wrappers, such as ``DataParallel``'s, are all that is wrong."""
    for prefix in _prefixes(tensors):
        inner = {key.removeprefix(prefix): value for key, value in tensors.items()}
        if len(inner) == len(tensors) and not misfits(expected, inner):
            return f"; without {prefix!r} before its keys it would: save the inner model's state"
    for prefix in _prefixes(expected):
        if not misfits(expected, {prefix + key: value for key, value in tensors.items()}):
            return f"; with {prefix!r} before its keys it would: load it into the inner model"
    if (trunk := {key[len(_TIMM) :] for key in expected if key.startswith(_TIMM)}) and (
        trunk <= tensors.keys()
    ):
        return (
            "; it is the state of timm's model alone, without the normalisation of pixels: give a"
            " MODULE:CALLABLE that makes both"
        )
    bare = {_unwrapped(key): value for key, value in tensors.items()}
    if not misfits({_unwrapped(key): value for key, value in expected.items()}, bare):
        found = {part for key in tensors for part in key.split(".")} & _WRAPPERS
        named = " and ".join(repr(f"{part}.") for part in sorted(found)) or "names of wrappers"
        return f"; without {named} in its keys it would: save the inner model's state"
    return ""


def _prefixes(keys: Iterable[str]) -> list[str]:
    """Return what the first and the last of the keys begin with, ``a.`` and ``a.b.`` of a.b.c."""
    ordered = sorted(keys)
    return list(
        dict.fromkeys(
            key[: place + 1]
            for key in (*ordered[:1], *ordered[-1:])
            for place, letter in enumerate(key)
            if letter == "."
        )
    )


def _unwrapped(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def first_few(keys: Sequence[object]) -> str:
    """Name the first few of ``keys``."""
    named = ", ".join(str(key)[:100] for key in keys[:_NAMED_KEYS])
    return named + (", …" if len(keys) > _NAMED_KEYS else "")
