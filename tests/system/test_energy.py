"""Energy as the driver counts it, read from a library that the test makes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from regmix_bench.system.energy import device_energy, energy_counter

# One device, GPU-known, that takes 1,500 mJ from each reading to the next.
LIBRARY = """
#include <string.h>
static unsigned long long taken = 4000;
static int device, started;
int nvmlInit_v2(void) { started = 1; return INIT; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = &device;
    return started && strcmp(uuid, "GPU-known") == 0 ? 0 : 6;
}
#ifndef OLD
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *millijoules) {
    if (handle != &device) return 2;
    *millijoules = taken;
    taken += 1500;
    return READ;
}
#endif
"""


def library(folder: Path, init: int = 0, read: int = 0, *flags: str) -> str:
    """Compile NVML's part that is used, returning these codes; 0 is success, 3 not supported."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler to make a library with")
    source, built = folder / "nvml.c", folder / "nvml.so"
    source.write_text(LIBRARY)
    codes = [f"-DINIT={init}", f"-DREAD={read}", *flags]
    subprocess.run([compiler, "-shared", "-fPIC", *codes, "-o", built, source], check=True)
    return str(built)


def test_joules_are_read_as_the_driver_counts_them(tmp_path: Path) -> None:
    joules = energy_counter("GPU-known", library(tmp_path))
    assert [joules(), joules(), joules()] == [4.0, 5.5, 7.0]


@pytest.mark.parametrize(
    "how",
    ["no driver", "another device", "not supported", "an older library", "no library", "no ELF"],
)
def test_what_is_not_counted_is_none(tmp_path: Path, how: str) -> None:
    uuid = "GPU-other" if how == "another device" else "GPU-known"
    path = str(tmp_path / "missing.so")
    if how == "no ELF":
        Path(path).write_text("not a library")
    elif how != "no library":
        init, read = 9 * (how == "no driver"), 3 * (how == "not supported")
        path = library(tmp_path, init, read, *["-DOLD"] * (how == "an older library"))
    assert energy_counter(uuid, path)() is None


def test_a_processor_has_no_counter() -> None:
    assert device_energy(torch.device("cpu"))() is None
