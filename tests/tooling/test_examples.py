"""Properties are tried with the same examples whatever ran, and was imported, before."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location

from hypothesis import given, settings
from hypothesis import strategies as st


def test_examples_do_not_depend_on_what_is_imported(tmp_path, monkeypatch):
    """A module with numbers of its own changes none of them."""
    tried = []

    @given(st.integers() | st.floats() | st.text())
    @settings(settings.get_profile("patient"), max_examples=300)
    def property_(value):
        tried.append(repr(value))

    property_()
    first = tried.copy()
    path = tmp_path / "strange.py"
    path.write_text("A = 123456789, 98765.4321, 'strange'\n", encoding="utf-8")
    spec = spec_from_file_location("strange", path)
    monkeypatch.setitem(sys.modules, "strange", module_from_spec(spec))
    tried.clear()
    property_()
    assert tried == first
