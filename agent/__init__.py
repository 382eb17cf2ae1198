"""Fieldwarden: stands guard between a plant and the models that run beside it."""

__version__ = "0.1.0"
