"""What `check` says of hooks: asked, and told nothing."""

from __future__ import annotations

import pytest

from agent.checking.check import check
from agent.configuration.load import load
from agent.errors import ConfigurationError
from simulators.ports import free_port
from tests import small_site
from tests.hooks.endpoint import Endpoint


def written(folder, hooks):
    (folder / "config.toml").write_text(small_site.text(tail=hooks), encoding="utf-8")
    return folder / "config.toml"


async def test_each_hook_is_asked_and_none_that_is_away_is_a_fault(tmp_path):
    """The agent copes with it: what it is not told of waits. A secret that is not there is said."""
    endpoint = Endpoint(tmp_path / "endpoint", free_port())
    endpoint.start()
    text = f"""
[hooks.here]
kind = "webhook"
url = "{endpoint.url}"
[hooks.away]
kind = "webhook"
url = "http://127.0.0.1:{free_port()}/x"
[hooks.secret]
kind = "webhook"
url = "{endpoint.url}"
secret_file = "none"
[hooks.registry]
kind = "mlflow"
model = "m"
tracking_uri = "http://127.0.0.1:{free_port()}"
registered_model = "r"
"""
    items = await check(load(written(tmp_path, text)), offline=False, timeout_s=5.0)
    endpoint.stop()
    found = {item.subject: item for item in items if item.subject.startswith("hook ")}
    assert {name: item.level for name, item in found.items()} == {
        "hook here": "ok", "hook away": "warning", "hook secret": "warning",
        "hook registry": "warning",
    }  # fmt: skip
    assert "not signed" in found["hook here"].text and "none" in found["hook secret"].text
    assert endpoint.requests() == []


@pytest.mark.parametrize(("hook", "key", "hint"), [
    ('kind = "webhok"\nurl = "https://h/x"', "hooks.x.kind", "did you mean 'webhook'?"),
    ('url = "https://h/x"', "hooks.x.kind", 'write kind = "webhook" or "mlflow"'),
    ('kind = "webhook"\nulr = "https://h/x"', "hooks.x.ulr", "did you mean 'url'?"),
    ('kind = "webhook"\nurl = "https://h/x"\nmodels = ["n"]', "hooks.x.models", "there is: m"),
    ('kind = "mlflow"\ntracking_uri = "u"\nregistered_model = "r"\nmodel = "n"', "hooks.x.model",
     "there is: m"),
    ('kind = "webhook"\nurl = "https://h/x"\nsecret_env = "A"\nsecret_file = "b"',
     "hooks.x.secret_env", "keep one of them"),
])  # fmt: skip
def test_what_is_wrong_with_a_hook_is_said_with_its_key(tmp_path, hook, key, hint):
    """As with every other table."""
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, f"[hooks.x]\n{hook}\n"))
    assert key in str(caught.value) and hint in str(caught.value)
