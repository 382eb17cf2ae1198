"""Central ops: what arrives from the gateways, and how it is shown."""
