"""Thousands of gateways in one process, which speak the real agreement to a real broker.

What they say is made by `agent.forward.json_payload`, what they keep, send again, add together and
delete follows `agent.store` and `agent.forward.sender`; `truth` knows what must have arrived.
"""
