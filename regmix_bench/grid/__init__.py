"""Grids of runs: suites and plans, and who starts them."""
