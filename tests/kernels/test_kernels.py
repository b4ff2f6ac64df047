"""Own kernels, without a GPU by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from regmix_bench.kernels import available

CHECKS = Path(__file__).with_name("interpreted.py")


def ask(**surroundings: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)]
    environment = {**os.environ, **surroundings}
    asked = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert asked.returncode == 0, asked.stdout[-6000:] + asked.stderr[-2000:]


def test_the_interpreter_finds_what_float64_finds() -> None:
    pytest.importorskip("triton")
    ask(TRITON_INTERPRET="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.cuda
def test_a_device_finds_what_float64_finds() -> None:
    ask()


def test_a_cpu_has_no_kernels() -> None:
    assert not available(torch.device("cpu"))
