"""Recognises that another gateway uses the same name, so that each throws the other out.

Proof is what the broker says (MQTT 5: session taken over), or a `state` of this name that another
store has said after this one spoke. Without either, connections that end again and again soon after
they began, with nothing under way, are a hint, where that goes on for longer than a link flaps.
"""

from __future__ import annotations

PROOF = "Session taken over"
SOON_S = 30.0  # a connection that ends sooner ended at once
HINTS = 4  # such ends one after another
FLAPS_S = 60.0  # so long a link may come and go
PAUSE_S = 60.0  # before each further connection
OVER_S = 300.0  # a connection that lasts so long says that the other is gone


class Clash:
    """What is known of another gateway of this name.

    Args:
        name: ``SITE/GATEWAY``.
        client_id: at the broker.
        store: this gateway's.
    """

    def __init__(self, name: str, client_id: str, store: str) -> None:
        self._name = name
        self._client_id = client_id
        self._store = store
        self._said = False
        self._before: tuple[str, int, int] | None = None
        self._short = 0
        self._since_s = 0.0
        self._proven = self._likely = False

    @property
    def text(self) -> str:
        """For people; empty where there is no clash."""
        whose = f"the name {self._client_id}: two gateways are named {self._name}"
        if self._proven:
            return f"another client took over {whose}"
        return f"the broker ends each connection: perhaps another client takes over {whose}" * (
            self._likely
        )

    def spoke(self) -> None:
        """This gateway's own birth has reached the broker."""
        self._said = True

    def heard(self, store: str, boot: int, seq: int) -> None:
        """A state of this name; of another store it is old, unless it came after our own."""
        if store == self._store:
            return
        if self._said and (store, boot, seq) != self._before:
            self._proven = True
        self._before = (store, boot, seq)

    def ended(self, reason: str, lived_s: float, *, busy: bool, now_s: float) -> None:
        """A connection that stood has ended at `now_s`; `busy`: with messages under way."""
        if PROOF in reason:
            self._proven = True
        if lived_s >= OVER_S:
            self._proven = self._likely = False
        self._short = self._short + 1 if lived_s < SOON_S and not busy else 0
        if self._short == 1:
            self._since_s = now_s
        self._likely = self._short >= HINTS and now_s - self._since_s >= FLAPS_S

    def lasts(self, lived_s: float) -> None:
        """The connection stands still."""
        if lived_s >= OVER_S:
            self._proven = self._likely = False
            self._short = 0
