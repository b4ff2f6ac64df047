"""The machine a model runs on: its device, its arithmetic, and its description in a record."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

import torch

from regmix_bench.errors import UserError

Device = Literal["auto", "cpu", "cuda"]
Switch = Literal["auto", "on", "off"]
Precision = Literal["fp32", "tf32", "bf16"]

#: On images with shorter sides, such as digits, another memory layout gains nothing.
CHANNELS_LAST_SIDE = 16


@dataclass(frozen=True)
class Execution:
    """Execution of networks: it changes their speed, and their numbers by rounding alone.

    ``sync_bn`` is the exception: on several devices batch norm then takes its statistics over the
    whole batch, as on one, and else over each device's share of it. With ``graphs`` work is
    recorded once and replayed: in CUDA graphs, or on a CPU by what stands in for them in tests.
    """

    channels_last: bool = False
    compile: bool = False
    sync_bn: bool = False
    graphs: bool = False


def choose_device(device: Device) -> torch.device:
    """Return the device to use; ``auto`` is CUDA if there is one.

    Raises :class:`UserError` for CUDA where there is none.
    """
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise UserError("device 'cuda': torch sees no CUDA device here; use --device cpu")
    return torch.device("cuda" if available and device != "cpu" else "cpu")


def default_precision(device: Device) -> Literal["fp32", "bf16"]:
    """Return the precision of a run that names none: bf16 on CUDA, fp32 on a CPU.

    It is part of the run's identity, so the kind of device alone decides: what a processor is good
    at differs from machine to machine. Raises as :func:`choose_device` does.
    """
    if _is_cpu(device):
        return "fp32"
    return "bf16" if choose_device(device).type == "cuda" else "fp32"


def default_validation_precision(device: Device) -> Literal["fp32", "bf16"]:
    """Return the precision of a validation of which none is named: bf16 on CUDA, else fp32.

    Before Ampere CUDA devices do not compute in it. It is part of the identity, as
    :func:`default_precision` says, since it can move the epoch that is selected. Raises as
    :func:`choose_device` does.
    """
    if _is_cpu(device):
        return "fp32"
    # PGD-10 on 1,000 images takes a ResNet-18 25 TFLOP, a twentieth of what RegMix trains in an
    # epoch. In TF32, at half the rate and twice the bytes, that is no longer under a tenth of it.
    found = choose_device(device)
    return "bf16" if found.type == "cuda" and _missing(found, "bf16") is None else "fp32"


def default_search_precision(device: Device) -> Literal["fp32", "tf32"]:
    """Return the precision in which attacks search where none is named: TF32 on CUDA, else fp32.

    Before Ampere CUDA devices have no TF32. It is part of the identity, as
    :func:`default_precision` says. Raises as :func:`choose_device` does.
    """
    if _is_cpu(device):
        return "fp32"
    return "tf32" if _missing(choose_device(device), "tf32") is None else "fp32"


def _is_cpu(device: Device) -> bool:
    """Return whether a device is a CPU, as far as is known without torch.

    That takes seconds to load, and a finished grid does without: where there is no driver of a GPU
    there is no CUDA device either.
    """
    return device == "cpu" or (
        device == "auto" and "torch._C" not in sys.modules and not _has_gpu_driver()
    )


@cache
def _has_gpu_driver() -> bool:
    """Return whether this machine has the driver of NVIDIA, or of AMD, that torch would call."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            return True
    return Path("/dev/kfd").exists()


def require_precision(device: torch.device, precision: Precision, setting: str) -> None:
    """Raise :class:`UserError` where ``device`` lacks the precision that ``setting`` asks for."""
    if missing := _missing(device, precision):
        raise UserError(f"{setting} {precision}: {missing}; use fp32")


def _missing(device: torch.device, precision: Precision) -> str | None:
    """Return in words that a device cannot compute in a precision, and None where it can."""
    if precision == "fp32" or (device.type == "cpu" and precision == "bf16"):
        return None
    if device.type == "cpu":
        return "a CPU does not compute in it"
    if torch.cuda.get_device_capability(device) >= (8, 0):
        return None
    name = torch.cuda.get_device_name(device)
    return f"{name} does not compute in it, as devices do from Ampere on"


def check_devices(device: torch.device, devices: int) -> None:
    """Raise :class:`UserError` unless there are so many of the kind of ``device``.

    On a CPU a device is a process with its share of the threads: a core is the least it needs.
    """
    cuda = device.type == "cuda"
    there = torch.cuda.device_count() if cuda else os.cpu_count() or 1
    if not 1 <= devices <= max(there, 1):
        kind = "CUDA devices" if cuda else "processor cores"
        raise UserError(f"devices {devices}: this machine has {there} {kind}; use 1 to {there}")


def choose_execution(
    device: torch.device,
    side: int,
    channels_last: Switch = "auto",
    compile: Switch = "auto",
    sync_bn: Switch = "auto",
    devices: int = 1,
    graphs: Switch = "auto",
) -> Execution:
    """Choose what suits ``device`` and images of ``side`` pixels, where a switch is ``auto``.

    Channels-last from ``CHANNELS_LAST_SIDE`` pixels on; CUDA graphs on CUDA; compilation
    nowhere, as it takes about as long as it then spares; synchronised batch statistics on several
    CUDA ``devices``, as torch has them for CUDA alone. Raises :class:`UserError` where compilation
    is asked for and its compiler is missing, or synchronisation or graphs where there are none.
    """
    cuda = device.type == "cuda"
    if graphs == "on" and not cuda:
        raise UserError("graphs 'on': there are CUDA graphs on CUDA alone; use --graphs off")
    synchronisable = cuda and devices > 1
    if sync_bn == "on" and not synchronisable:
        raise UserError("sync-bn 'on': torch synchronises batch norm on several CUDA devices only")
    last = side >= CHANNELS_LAST_SIDE if channels_last == "auto" else channels_last == "on"
    if compile == "on" and (missing := _missing_compiler(device)):
        raise UserError(f"compile 'on': {missing} is not installed here; use --compile off")
    recorded = cuda if graphs == "auto" else graphs == "on"
    return Execution(last, compile == "on", synchronisable and sync_bn != "off", recorded)


def _missing_compiler(device: torch.device) -> str | None:
    if device.type == "cuda":
        if not find_spec("triton"):
            return "triton"
        # With which Triton builds what launches its kernels.
        found = any(map(shutil.which, (os.environ.get("CC", "gcc"), "gcc", "clang")))
        return None if found else "a C compiler"
    found = any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
    return None if found else "a C++ compiler"


@contextlib.contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Compute products of float32 in TF32 while the block runs if that is asked for, and else not.

    A backward pass belongs inside. Where records say float32, TF32 would move scores; bf16 is a
    matter of the model that is run. It holds however the program around set TF32, which torch lets
    be done in two ways, and leaves that as it was.
    """
    cuda, cudnn = cast("Any", torch.backends.cuda), cast("Any", torch.backends.cudnn)
    backends = (cuda.matmul, cudnn.conv, cudnn.rnn)

    def put(precisions: list[str]) -> None:
        # Both ways, or whoever reads the older one is told that they contradict each other.
        cuda.matmul.allow_tf32, cudnn.allow_tf32 = (found == "tf32" for found in precisions[:2])
        for backend, found in zip(backends, precisions, strict=True):
            backend.fp32_precision = found

    before = [backend.fp32_precision for backend in backends]
    put(["tf32" if precision == "tf32" else "ieee"] * len(backends))
    try:
        yield
    finally:
        put(before)


def environment(device: torch.device) -> dict[str, Any]:
    """Describe this machine for a record: device, threads, versions and the source's revision."""
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "cpu": _processor(),
        "python": platform.python_version(),
        "cuda": torch.version.cuda if cuda else None,
        **{name: version(name) for name in ("regmix-bench", "torch", "numpy", "pyautoattack")},
        **_revision(),
    }


@cache
def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


@cache
def _revision() -> dict[str, Any]:
    """Commit of the source tree and whether it was changed; nothing for an installed package."""
    source = Path(__file__).resolve().parents[1]
    if not (source.parent / ".git").exists():
        return {}
    git = ["git", "-C", os.fspath(source.parent)]
    try:
        head, status = (
            subprocess.run([*git, *command], capture_output=True, text=True, check=True).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git_revision": head.strip(), "git_dirty": bool(status.strip())}
