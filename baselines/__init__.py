"""The baselines of regmix-bench: a package of methods like any other that can be installed."""
