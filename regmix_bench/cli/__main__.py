"""``python -m regmix_bench.cli``."""

from regmix_bench.cli import main

main()
