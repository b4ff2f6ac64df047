"""The speed of a large matrix product, as it is timed here."""

from __future__ import annotations

import time

import torch

from regmix_bench.system.product import product_speed


def test_a_product_is_timed_once_and_quickly() -> None:
    product_speed.cache_clear()
    started = time.perf_counter()
    speed = product_speed(torch.device("cpu"))
    took = time.perf_counter() - started
    assert speed is not None and speed.precision == "fp32"
    # The fastest of many: no single one was slower than all the time that there was.
    assert speed.flop_per_second > 2 * 768**3 / took
    assert product_speed(torch.device("cpu")) is speed


def test_the_numbers_of_a_run_do_not_notice() -> None:
    product_speed.cache_clear()
    state = torch.get_rng_state()
    product_speed(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
