"""Grids of runs: suites and plans, launchers, and what is shown meanwhile."""
