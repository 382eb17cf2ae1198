"""The two-sided CUSUM that `level`, `drift` and `noise` have in common, one block at a time.

While no flag is up, of a block statistic x in standard deviations:

    up = max(0, up + x - k)         down = max(0, down - x - k)

and the flag is raised at up >= h_up or down >= h_down, on the side of the larger share. From then
on the chart asks the opposite question, with the same kind of chart: is x back? With r, the larger
of k and half of the statistic that raised the flag, and s its side (+1 or -1):

    back = max(0, back + r - s x)

and the flag clears at back >= `CLEAR`; up and down then start again from 0. So a large shift that
has gone clears within two or three blocks, and a shift that stays, stays flagged. References: Page
1954; Montgomery, "Introduction to Statistical Quality Control", ch. 9.
"""

from __future__ import annotations

from agent.core.kernels.base import kernel

CLEAR = 4.0
_CLEAR = CLEAR


@kernel
def advance(active, up, down, x, k, h_up, h_down):  # type: ignore[no-untyped-def]
    """(active, up, down, score) after one block.

    While the flag is up, `up` holds `back` and `down` the signed reference s r.
    """
    if active == 0:
        up = max(up + x - k, 0.0)
        down = max(down - x - k, 0.0)
        above = up / h_up
        below = down / h_down
        if above < 1.0 and below < 1.0:
            return 0, up, down, max(above, below)
        if above >= below:
            return 1, 0.0, max(k, 0.5 * x), above
        return 1, 0.0, -max(k, -0.5 * x), below
    if down > 0.0:
        up = max(up + down - x, 0.0)
    else:
        up = max(up - down + x, 0.0)
    if up >= _CLEAR:
        return 0, 0.0, 0.0, 0.0
    return 1, up, down, 2.0 - up / _CLEAR
