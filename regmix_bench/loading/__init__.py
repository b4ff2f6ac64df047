"""Models from anywhere: runs of ours, weights, programs, callables, RobustBench."""
