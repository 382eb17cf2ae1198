"""`kind = "webhook"`: each event is a POST of a CloudEvent 1.0 (structured JSON), see `posting`."""

from __future__ import annotations

from urllib.parse import quote

from agent.configuration.hooks import Webhook
from agent.forward.json_payload import EVENT_TYPE, JSON_CONTENT, time_text, to_json
from agent.hooks.form import Sender, Told
from agent.hooks.posting import Poster, ask


def create(hook: Webhook, sender: Sender) -> WebhookTarget:
    """The target of a hook."""
    return WebhookTarget(hook, sender)


class WebhookTarget:
    """One endpoint.

    Args:
        hook: its table.
        sender: who speaks.
    """

    def __init__(self, hook: Webhook, sender: Sender) -> None:
        self._poster, self._sender = Poster(hook), sender

    async def deliver(self, told: Told) -> None:
        """See `form.Target`."""
        await self._poster.post(told.id, to_json(cloud_event(told, self._sender)))

    async def close(self) -> None:
        """See `form.Target`."""
        await self._poster.close()


def cloud_event(told: Told, sender: Sender) -> dict[str, object]:
    """An event as CloudEvents 1.0 has it."""
    return {
        "specversion": "1.0", "id": told.id, "type": EVENT_TYPE + told.kind,
        "source": f"/fieldwarden/{quote(sender.site)}/{quote(sender.gateway)}",
        "subject": told.subject, "time": time_text(told.time_ns),
        "datacontenttype": JSON_CONTENT, "data": told.data,
    }  # fmt: skip


async def probe(hook: Webhook, timeout_s: float) -> str:
    """See `posting.ask`."""
    return await ask(hook, timeout_s)
