"""The sample at which each input detector raises and clears, on one stream: pinned.

The stream (`test_every_detector.Stream`) is white noise with, from sample on: 400 stuck for 40; 480
five spikes of 12, nine apart; 560 a shift of 5 for 60; 700 four times the noise for 200; 1000 a
shift of 1.5 for 200; 1215 source times an hour ahead for 20; 1820 lines between every seventh for
50; 1890 a fiftieth of the noise for 70.
A change here is a change of what a plant is told: say so in the changelog.
"""

from __future__ import annotations

import pytest

from tests.core.kernels.folding import detector
from tests.core.kernels.test_every_detector import Stream, told

EXPECTED = {
    "range": [
        (480, 1), (485, 0), (489, 1), (494, 0), (498, 1), (503, 0), (507, 1), (512, 0), (516, 1),
        (521, 0), (560, 1), (624, 0), (702, 1), (728, 0), (730, 1), (762, 0), (767, 1), (815, 0),
        (824, 1), (829, 0), (831, 1), (865, 0), (867, 1), (878, 0), (879, 1), (904, 0), (1020, 1),
        (1025, 0), (1180, 1), (1185, 0),
    ],
    "stuck": [(411, 1), (442, 0)],
    "spike": [
        (480, 1), (485, 0), (489, 1), (532, 0), (702, 1), (706, 0), (709, 1), (715, 0), (717, 1),
        (831, 0), (832, 1), (835, 0), (836, 1), (840, 0), (841, 1), (914, 0),
    ],
    "rate": [
        (480, 1), (486, 0), (489, 1), (495, 0), (498, 1), (504, 0), (507, 1), (513, 0), (516, 1),
        (522, 0), (702, 1), (708, 0), (709, 1), (716, 0), (722, 1), (733, 0), (735, 1), (749, 0),
        (751, 1), (756, 0), (757, 1), (763, 0), (765, 1), (815, 0), (832, 1), (846, 0), (847, 1),
        (866, 0), (867, 1), (876, 0), (880, 1), (904, 0),
    ],
    "level": [
        (414, 1), (449, 0), (484, 1), (504, 0), (519, 1), (534, 0), (562, 1), (649, 0), (702, 1),
        (714, 0), (764, 1), (789, 0), (803, 1), (809, 0), (859, 1), (874, 0), (889, 1), (899, 0),
        (1014, 1), (1214, 0),
    ],
    "drift": [
        (419, 1), (459, 0), (499, 1), (559, 0), (579, 1), (639, 0), (719, 1), (859, 0), (899, 1),
        (979, 0), (1039, 1), (1219, 0),
    ],
    "noise": [
        (416, 1), (464, 0), (496, 1), (544, 0), (704, 1), (944, 0), (1830, 1), (1974, 0),
    ],
    "step": [
        (483, 1), (503, 0), (515, 1), (539, 0), (563, 1), (587, 0), (623, 1), (647, 0), (703, 1),
        (735, 0), (739, 1), (767, 0), (775, 1), (847, 0), (859, 1), (895, 0), (899, 1), (919, 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_alarm_indexes(name):
    """Raised and cleared at exactly these samples."""
    one = detector(name)
    assert told(one, Stream(1).seen_by(one)).flags == EXPECTED[name]
