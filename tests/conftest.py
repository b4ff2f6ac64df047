"""What holds for every test: one thread, no window, and none of the user's own settings."""

from __future__ import annotations

import os

# Before torch is imported, and inherited by every process a test starts: numbers depend on the
# number of threads, and parallel test runs must not fight for cores.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MPLBACKEND="Agg")
for setting in [name for name in os.environ if name.startswith("REGMIX_BENCH_")]:
    del os.environ[setting]
