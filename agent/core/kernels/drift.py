"""Slow drift: the level chart on blocks several times as long, for shifts too small for `level`.

Same recursion, parameters, state and kernel as `level`, without its part for large shifts. Cost
about 1 ns a sample; state 56 bytes. Reference: Page 1954.
"""

from __future__ import annotations

from agent.core.kernels import level

NAME = "drift"
PARAMS = level.PARAMS
DEFAULTS = level.DEFAULTS
STATE = level.STATE
fold = level.fold
