"""The evidence bundle of a declared retraining request: a zip file, the same bytes each time."""
