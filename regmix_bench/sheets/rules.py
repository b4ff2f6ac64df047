"""Every rule by its name: what ``allow`` takes, and what marks published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from regmix_bench.sheets import choosing, conditions, counting, measuring
from regmix_bench.sheets.rule import Rule

#: In the order in which they are asked and listed.
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.name: rule
        for module in (choosing, conditions, measuring, counting)
        for rule in module.RULES
    }
)
