"""The agent: edges in, engine in the middle, store and forwarder out, one asyncio process.

The flow is one loop: sealed entries -> engine -> events, summaries, messages -> one transaction.
Only after the commit do sources get their acknowledgements and does the forwarder see the rows.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from agent.assemble import baselines_of, build_spec
from agent.clock import EngineClock, monotonic_ns
from agent.config import Configuration
from agent.core.engine import Engine
from agent.document import status_document
from agent.errors import FieldwardenError
from agent.intake import Intake
from agent.store import Store

logger = logging.getLogger(__name__)
