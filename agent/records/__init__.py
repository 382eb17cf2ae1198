"""Recorded data in and out: tables read, configurations begun from them, replay."""
