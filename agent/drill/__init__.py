"""The drill: what would be noticed and what would not, before going live."""
