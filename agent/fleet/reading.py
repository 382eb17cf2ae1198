"""The fleet for a terminal: from central's database, or from its page. Blocking."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from agent.configuration import credentials
from agent.configuration.connection import Login, Tls
from agent.errors import FieldwardenError, StoreError, cause_of
from agent.fleet import questions
from agent.fleet.configuration import load
from agent.fleet.database import Database
from agent.fleet.documents import gateways, iso
from agent.fleet.rollup import Fleet, fleet_of

Json = Mapping[str, Any]
Read = Callable[[Json], Json]
"""One page: `only` (verdicts), `site`, `search`, `offset` and `limit` -> `as_of`, `fleet` (totals),
`total` and `trouble` (how many were chosen, and are in trouble), `gateways` (documents)."""

_TIMEOUT_S: Final = 15.0
_NOT_SHOWN: Final = "give your token: --token-file or --token-env"
_SHOWN: Final = "the token that was given is nobody's there: is it whole, and under [people]?"


def of_database(config: Path) -> Read:
    """Reads the database of a configuration of central.

    Raises:
        ConfigurationError: it has faults.
        StoreError: there is no such database.
    """
    configuration = load(config)
    database = Database(configuration.database_url())
    file = database.url.database
    if database.sqlite and not Path(file or "").exists():
        raise StoreError("reading the database", str(file), "there is none yet",
                         f"start central once: fieldwarden central {config}")  # fmt: skip
    known: list[Fleet] = []

    def read(asked: Json) -> Json:
        if not known or not asked["offset"]:  # later pages are of the same moment
            with database.reading() as connection:
                promises = questions.promises(connection)
            known[:] = [fleet_of(questions.snapshot(database), promises)]
        return _page(database, known[0], asked)

    return read


def _page(database: Database, fleet: Fleet, asked: Json) -> Json:
    search = asked["search"].lower()
    with database.reading() as connection:
        ids = frozenset(questions.with_model(connection, search) if search else ())
        chosen = fleet.chosen(
            site=asked["site"], only=frozenset(asked["only"]), search=search, ids=ids
        )
        part = chosen[asked["offset"] : asked["offset"] + asked["limit"]]
        now = database.now(connection)
        told = gateways(connection, now, [fleet.lines[one].gateway_id for one in part])
    return {
        "as_of": iso(fleet.at), "fleet": fleet.totals, "total": len(chosen),
        "trouble": fleet.trouble(chosen), "gateways": told,
    }  # fmt: skip


def of_page(url: str, *, ca: str = "", token_file: Path | None = None, token_env: str = "") -> Read:
    """Reads the API of central's page.

    Raises:
        FieldwardenError: the token or the authorities can not be had.
    """
    scheme = _scheme(url)
    context = credentials.tls_context(Tls(tls=scheme == "https", ca=ca))
    login = Login(password_file=str(token_file or ""), password_env=token_env)
    token = credentials.password(login)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(path: str, asked: Json | None = None) -> Any:
        query = urlencode(asked or {}, doseq=True)
        return _asked(f"{url.rstrip('/')}{path}?{query}", headers, context)

    def read(asked: Json) -> Json:
        given = {key: value for key, value in asked.items() if value != ""}
        return {**get("/api/v1/gateways", given), "fleet": get("/api/v1/fleet")}

    return read


def _scheme(url: str) -> str:
    """http or https; raises FieldwardenError where no page has such an address."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        if known and url.isprintable() and url.isascii() and " " not in url:
            return parts.scheme
    except ValueError:
        pass
    raise FieldwardenError(
        "reading the fleet", ascii(url)[1:-1], "it is no address of a page",
        "write it like https://central.example:8687",
    )  # fmt: skip


def _asked(url: str, headers: Mapping[str, str], context: ssl.SSLContext | None) -> Any:
    try:
        with urlopen(  # noqa: S310 - its scheme was looked at
            Request(url, headers=dict(headers)), timeout=_TIMEOUT_S, context=context  # noqa: S310
        ) as answer:
            return json.load(answer)
    except HTTPError as error:
        hint = _SHOWN if headers else _NOT_SHOWN
        raise FieldwardenError(
            "reading the fleet", url.partition("?")[0], _problem(error),
            hint if error.code == HTTPStatus.UNAUTHORIZED else "",
        ) from error
    except (URLError, HTTPException, OSError, ValueError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        told = cause_of(cause) if isinstance(cause, OSError) else str(cause) or repr(cause)
        hint = "is central running there, and is it http or https?"
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "name the authority of its certificate by --ca; is this its name there?"
        raise FieldwardenError(
            "reading the fleet", url.partition("?")[0], told, hint
        ) from error


def _problem(error: HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"it answered {error.code}"
