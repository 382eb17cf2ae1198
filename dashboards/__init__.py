"""Dashboards of the fleet for Grafana, and alert rules for Prometheus: see docs/grafana.md."""
