"""One history and one baseline for all scenarios, and sites that end what they started."""

from __future__ import annotations

import pytest

from tests.end_to_end.site import Site, train
from tests.once import made_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of the soft sensor and of the baseline fitted on the simulator's own history."""
    return made_once(tmp_path_factory, "trained", train)


@pytest.fixture
def site(tmp_path, trained):
    one = Site(tmp_path, trained)
    yield one
    one.close()
