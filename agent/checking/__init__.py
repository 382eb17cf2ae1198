"""What `fieldwarden check` tells before the agent runs."""
