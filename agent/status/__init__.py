"""What people and machines on the gateway can read: page, API, metrics, terminal.

Everything here is drawn from one thing, the status document (`agent.status.view` has its shape),
so that the page, the API, the metrics and `fieldwarden status` can not contradict each other.
What models ask for (`model_routes`) comes from the same fold, without the whole document.
"""
