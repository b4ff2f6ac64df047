"""The energy that a GPU has taken, as its driver counts it (NVML)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch

#: NVIDIA's management library; it comes with the driver.
NVML = "libnvidia-ml.so.1"

#: Returns joules since the driver was loaded, or None where it cannot tell.
EnergyCounter = Callable[[], float | None]


def device_energy(device: torch.device) -> EnergyCounter:
    """Return the counter of the energy of ``device``; one that never tells for other than CUDA.

    What it counts is that of the whole device, whoever makes it work.
    """
    if device.type != "cuda":
        return lambda: None
    uuid = str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))
    return energy_counter(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")


def energy_counter(uuid: str, library: str = NVML) -> EnergyCounter:
    """Return the counter of the device that NVML knows by ``uuid``, such as ``GPU-5a…``.

    It never tells where ``library`` is missing, or counts no energy of such a device: cards before
    Volta, and parts of a card.
    """
    handle, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    try:
        nvml = ctypes.CDLL(library)
        read = nvml.nvmlDeviceGetTotalEnergyConsumption
        found = (
            nvml.nvmlInit_v2() == 0
            and nvml.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) == 0
        )
    except (OSError, AttributeError):  # AttributeError: an older library
        found = False

    def joules() -> float | None:
        if not found or read(handle, ctypes.byref(millijoules)) != 0:
            return None
        return millijoules.value / 1000

    return joules
