"""Fit: training data -> baselines. Uses scipy; nothing that runs in service imports it."""
