"""Writes the dashboards beside this file: `make dashboards`, or `python -m dashboards.make`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import fleet, gateway, model

HERE: Final = Path(__file__).parent
DASHBOARDS: Final = {"fleet": fleet.built, "gateway": gateway.built, "model": model.built}


def made(name: str) -> str:
    """The text of a dashboard's file."""
    return json.dumps(DASHBOARDS[name](), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Write all of them."""
    for name in DASHBOARDS:
        (HERE / f"{name}.json").write_text(made(name), encoding="utf-8")


if __name__ == "__main__":
    main()
