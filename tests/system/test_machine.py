"""The arithmetic that is asked for, where a device has it, and no longer than it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from regmix_bench.errors import UserError
from regmix_bench.system.machine import arithmetic, require_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("before", [(True, False), (False, True)])
def test_the_arithmetic_ends_with_its_block(before: tuple[bool, bool]) -> None:
    with arithmetic("fp32"):  # puts back what was, whatever happens here
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
        with arithmetic("tf32"):
            assert tf32() == (True, True)
            with pytest.raises(RuntimeError), arithmetic("fp32"):
                assert tf32() == (False, False)
                raise RuntimeError
            assert tf32() == (True, True)
        with arithmetic("bf16"):
            assert tf32() == (False, False)
        assert tf32() == before


@pytest.mark.parametrize("said", ["generic", "mixed"])
def test_the_arithmetic_holds_however_tf32_was_set(said: str) -> None:
    backends = torch.backends, torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [backend.fp32_precision for backend in backends]
    try:
        chosen = backends[0] if said == "generic" else backends[1]
        chosen.fp32_precision = "tf32"
        backends[2].fp32_precision = "tf32"  # where the older way says the contrary
        with arithmetic("fp32"):
            assert tf32() == (False, False)
            assert [backend.fp32_precision for backend in backends[1:]] == ["ieee", "ieee"]
        assert [backends[2].fp32_precision, chosen.fp32_precision] == ["tf32", "tf32"]
    finally:
        for backend, found in zip(backends, before, strict=True):
            backend.fp32_precision = found


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_device_without_a_precision_is_named(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "Tesla V100")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (8, 0))
    require_precision(CUDA, precision, "scoring.search_precision")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: (7, 0))
    require_precision(CUDA, "fp32", "scoring.search_precision")
    with pytest.raises(UserError, match=rf"search_precision {precision}: Tesla V100 .*; use fp32"):
        require_precision(CUDA, precision, "scoring.search_precision")


def test_a_cpu_has_no_tf32() -> None:
    require_precision(CPU, "bf16", "scoring.search_precision")
    with pytest.raises(UserError, match="search_precision tf32: a CPU"):
        require_precision(CPU, "tf32", "scoring.search_precision")


#: Whether a plan of what it is given needed torch, which takes seconds to load.
PLANNING = """
import sys
from regmix_bench import run
run(methods=["trades"], dry_run=True, results=sys.argv[1], settings=sys.argv[2:])
sys.exit("torch._C" in sys.modules)
"""


@pytest.mark.parametrize("setting", ["recipe.epochs=1", "recipe.precision=bf16"])
def test_precisions_that_are_not_named_need_no_torch_without_a_gpu(
    setting: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PLANNING, str(tmp_path / "none"), setting]
    assert subprocess.run(command).returncode <= torch.cuda.is_available()
