"""Slow drift: the level chart on blocks several times as long, for shifts too small for `level`.

Same recursion, parameters, state and kernel as `level`; on longer blocks the same reference value
k stands for a smaller shift. Cost about 1.3 ns a sample; state 48 bytes. Reference: Page 1954.
"""

from __future__ import annotations

from agent.core.kernels import level

NAME = "drift"
PARAMS = level.PARAMS
DEFAULTS = level.DEFAULTS
STATE = level.STATE
fold = level.fold
