"""Versions of the tables: what alembic runs."""
