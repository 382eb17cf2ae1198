"""The joint charts of a model's inputs: T2, SPE and sudden change of the scan vector.

The scan vector x (d inputs, and the `lags` scans before it) is projected on whitened principal
directions of the training record: s_i = sum_j x_j loadings[j, i] - offset[i], each s_i of about
unit variance in training. Then

    T2  = sum of s_i^2 over the first `components` directions: where the inputs are, within the
          relations that they keep to (Hotelling 1931; Jackson & Mudholkar 1979);
    SPE = sum of s_i^2 over the others: how far they left those relations. Each residual direction
          is weighted by its own (ridge-regularised) variance, as in Hawkins' T_H^2 (1974): a
          relation that holds to 1 % is guarded at 1 %, where the plain sum of squares would drown
          it in the directions that are only noise;
    smoothed SPE: e += alpha * (min(SPE, cap) - e): what varies more without moving;
    change = the largest |f_j - g_j| weight_j of two exponentially weighted means of each a_j: f
          of the last few scans, g of some more; a_j = sum_k x_k adjusted[k, j] - middle[j] is
          input j regressed on all the others (Hawkins 1991), which shows a fault of one input
          best. So an EWMA about a centre that follows (Montgomery & Mastrangelo 1991): operating
          points that wander slowly leave nothing in it, and it sees shifts that stay small beside
          one scan's noise. It comes back by itself when g has followed.

One scan alone raises no smoothed chart: SPE is capped, and so is what a scan adds to f - g, see
`ALONE`. That bounds the time to clear, too.

Charts, in this order: `CHARTS`. Score = statistic / limit; a chart is raised above 1 and cleared
below `CLEAR`. A scan that is not good moves nothing. With lags, the vectors before a gap are not
used (the chart waits until `lags` scans in a row are there again). f and g begin as plain means,
again so after a gap longer than g remembers.

Cost: p (p + d) multiply-adds a scan for p = d (lags + 1); 0.6 to 0.9 us at p = d = 50.
State: `STATE` (one row a model), float64[lags + 1, d] of scans, float64[2, d] of f and g.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, kernel

CHARTS = ("t2", "spe", "change", "spe_smooth")
"""In the order in which `fold_joint` writes them; what they are is told by `JOINT_CHARTS`."""

MOST_LAGS = 2
"""Most scans before the present one that a scan vector may hold."""

CLEAR = 0.95
"""A chart clears below this share of its limit, so that it does not chatter about it."""

SLOWER = 4.0
"""How many times longer g remembers than f: a step then shows to half its size."""

ALONE = 0.5
"""Share of its limit that one scan, however far, may take f - g of an input."""

MOST = 1 << 40

PARAMS = np.dtype(
    [
        ("components", np.int64),
        ("lags", np.int64),
        ("gap_ns", np.int64),  # more than this between good scans: the lagged scans are stale
        ("forget_ns", np.int64),  # more than this: f and g begin anew
        ("alpha", np.float64),  # smoothing of SPE
        ("cap", np.float64),
        ("limit", np.float64, (4,)),
    ]
)

STATE = np.dtype(
    [
        ("score", np.float64, (4,)),
        ("active", np.uint8, (4,)),
        ("smooth", np.float64),
        ("filled", np.int64),
        ("seen", np.int64),  # scans in f and g
        ("last_ns", np.int64),
    ]
)
MOMENTS = {"last_ns": ENGINE_TIME}


@kernel
def project(loadings, offset, x, out):  # type: ignore[no-untyped-def]
    """out[i] = sum_j x[j] loadings[j, i] - offset[i]; four rows a pass, always in this order."""
    p, rows = offset.shape[0], x.shape[0]
    for i in range(p):
        out[i] = -offset[i]
    j = 0
    while j + 4 <= rows:
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        row_a, row_b, row_c, row_d = loadings[j], loadings[j + 1], loadings[j + 2], loadings[j + 3]
        for i in range(p):
            out[i] += (a * row_a[i] + b * row_b[i]) + (c * row_c[i] + d * row_d[i])
        j += 4
    while j < rows:
        a = x[j]
        row_a = loadings[j]
        for i in range(p):
            out[i] += a * row_a[i]
        j += 1


@kernel
def statistics(loadings, offset, components, vectors, out):  # type: ignore[no-untyped-def]
    """T2 and SPE, float64[m, 2], of vectors float64[m, p]: the same sums as `fold_joint`."""
    p = offset.shape[0]
    work = np.empty(p)
    for row in range(vectors.shape[0]):
        project(loadings, offset, vectors[row], work)
        t2, spe = 0.0, 0.0
        for i in range(components):
            t2 += work[i] * work[i]
        for i in range(components, p):
            spe += work[i] * work[i]
        out[row, 0] = t2
        out[row, 1] = spe


@kernel
def smooth(values, alpha, start, cap, out):  # type: ignore[no-untyped-def]
    """out[t] = out[t-1] + alpha (min(values[t], cap) - out[t-1]), from `start`."""
    level = start
    for t in range(values.shape[0]):
        level += alpha * (min(values[t], cap) - level)
        out[t] = level


def paces(fast, weight):  # type: ignore[no-untyped-def]
    """float64[3, d]: what `change` takes of each a: share of a scan in f, in g, and its reach."""
    reach = ALONE / np.maximum(weight * fast * (1.0 - 1.0 / SLOWER), 1e-250)
    return np.array([fast, fast / SLOWER, reach])


@kernel
def change(pace, weight, values, state, levels, apart):  # type: ignore[no-untyped-def]
    """Take one scan's a, float64[d], into f and g, the rows of `levels`; the statistic.

    `apart` float64[d] becomes (f - g) weight, of which the statistic is the largest.
    """
    seen = min(state[0]["seen"] + 1, MOST)
    state[0]["seen"] = seen
    start = 1.0 / np.float64(seen)
    if seen == 1:
        levels[:] = 0.0
    fast, slow = levels[0], levels[1]
    # No branch within the loop, so that it is done for several inputs at once.
    for j in range(weight.shape[0]):
        moves = 1.0 if weight[j] > 0.0 else 0.0
        f, g, reach = fast[j], slow[j], pace[2, j]
        x = g + min(max(values[j] - g, -reach), reach)
        fast[j] = f + moves * (max(pace[0, j], start) * (x - f))
        slow[j] = g + moves * (max(pace[1, j], start) * (x - g))
        apart[j] = (fast[j] - slow[j]) * weight[j]
    most = 0.0
    for j in range(weight.shape[0]):
        most = max(most, abs(apart[j]))
    return most


@kernel
def changes(pace, weight, values, state, levels, out):  # type: ignore[no-untyped-def]
    """f - g, float64[m, d], of the a of m scans, float64[m, d]: the sums of `fold_joint`."""
    for row in range(values.shape[0]):
        change(pace, weight, values[row], state, levels, out[row])
        for j in range(weight.shape[0]):
            out[row, j] = levels[0, j] - levels[1, j]


@kernel
def fold_joint(  # type: ignore[no-untyped-def]
    params, loadings, offset, adjusted, middle, pace, weight, state, ring, levels, work, times,
    scans, good, out, scores, apart
):
    """Fold m scans into the four charts of one model; returns the rows written to `out`.

    - `params` `PARAMS`[1]; `loadings` float64[p, p], `adjusted` float64[p, d], C order; `offset`
      float64[p]; `middle`, `weight` float64[d]; `pace` of `paces`.
    - `state` `STATE`[1]; `ring` float64[lags + 1, d], row 0 is the latest good scan; `levels`
      float64[2, d].
    - `work` float64[3, p]: scratch, holds nothing between calls.
    - `times` int64[m] ns; `scans` float64[m, d], C order; `good` uint8[m], bit 0 says good.
    - `out` `TRANSITION`[>= 4 m], `row` is the index in `CHARTS`; `scores` float64[m, 4]; `apart`
      float64[m, d]: (f - g) weight of each input, whose largest is the score of change.
    """
    components = params[0]["components"]
    lags = params[0]["lags"]
    alpha, cap, limit = params[0]["alpha"], params[0]["cap"], params[0]["limit"]
    p = offset.shape[0]
    d = scans.shape[1]
    score, active, level = state[0]["score"], state[0]["active"], state[0]["smooth"]
    filled = state[0]["filled"]
    last_ns = state[0]["last_ns"]
    written = 0
    for t in range(scans.shape[0]):
        if good[t] & 1:
            if filled > 0 and times[t] - last_ns > params[0]["gap_ns"]:
                filled = 0
                if times[t] - last_ns > params[0]["forget_ns"]:
                    state[0]["seen"] = 0
            last_ns = times[t]
            for lag in range(lags, 0, -1):
                for j in range(d):
                    ring[lag, j] = ring[lag - 1, j]
            for j in range(d):
                ring[0, j] = scans[t, j]
            filled = min(filled + 1, lags + 1)
            if filled > lags:
                for lag in range(lags + 1):
                    for j in range(d):
                        work[0, lag * d + j] = ring[lag, j]
                project(loadings, offset, work[0], work[1])
                t2, spe = 0.0, 0.0
                for i in range(components):
                    t2 += work[1, i] * work[1, i]
                for i in range(components, p):
                    spe += work[1, i] * work[1, i]
                level += alpha * (min(spe, cap) - level)
                score[0] = t2 / limit[0]
                score[1] = spe / limit[1]
                project(adjusted, middle, work[0], work[2])
                largest = change(pace, weight, work[2], state, levels, apart[t])
                score[2] = largest / limit[2]
                score[3] = level / limit[3]
                for chart in range(4):
                    up = score[chart] > 1.0
                    down = score[chart] < CLEAR
                    if (up and active[chart] == 0) or (down and active[chart] == 1):
                        active[chart] = 1 - active[chart]
                        out[written]["row"] = chart
                        out[written]["up"] = active[chart]
                        out[written]["time_ns"] = times[t]
                        out[written]["score"] = score[chart]
                        written += 1
        for chart in range(4):
            scores[t, chart] = score[chart]
    state[0]["smooth"] = level
    state[0]["filled"] = filled
    state[0]["last_ns"] = last_ns
    return written
