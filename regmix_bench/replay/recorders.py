"""The recorder for a device."""

from __future__ import annotations

import torch

from regmix_bench.replay.cuda import CudaRecorder
from regmix_bench.replay.protocol import Recorder
from regmix_bench.replay.tape import TapeRecorder


def recorder_for(device: torch.device) -> Recorder:
    """Make a recorder: of CUDA graphs on such a device, and elsewhere what stands in for them."""
    return CudaRecorder(device) if device.type == "cuda" else TapeRecorder()
