"""OPC UA: what to do where no session is made, from what the server or the library said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agent.configuration.certificates import der_of, read_certificate
from agent.configuration.schema import OpcUaSource
from agent.errors import FieldwardenError, cause_of

_OWN = "the agent's certificate"
_ADVICE = {
    "BadCertificateUntrusted": (
        f"the server does not trust {_OWN}",
        "put {certificate} among the certificates that the server trusts",
    ),
    "BadCertificateTimeInvalid": (
        "a certificate has expired, or is not valid yet",
        "renew {certificate} or that of the server; compare the clocks of both machines",
    ),
    "BadCertificateUriInvalid": (
        f"the application URI in {_OWN} is not the one that the session names",
        "make {certificate} anew with one application URI, as its subjectAltName",
    ),
    "BadCertificateHostNameInvalid": (
        "the server's certificate is for another host name",
        "use the host name of its certificate in `endpoint`",
    ),
    "BadCertificateUseNotAllowed": (
        f"{_OWN} may not be used for this",
        "make {certificate} anew with keyUsage digitalSignature, extendedKeyUsage clientAuth",
    ),
    "BadCertificateInvalid": (
        f"the server can not read {_OWN}, or it is another one than it expects",
        "make {certificate} anew; the server's own must be {server_certificate}",
    ),
    "BadSecurityPolicyRejected": (
        "the server does not offer security {security}",
        "set `security` to one that it offers",
    ),
    "BadSecurityModeRejected": (
        "the server does not offer {security} in mode {mode}",
        "set `mode` to one that it offers",
    ),
    "BadIdentityTokenRejected": (
        "the server refuses user name or password",
        "check `username` and the place of its password",
    ),
    "BadIdentityTokenInvalid": (
        "the server takes no such login",
        "check `username`, or leave it out where the server takes anonymous sessions",
    ),
    "BadUserAccessDenied": (
        "the server refuses the user",
        "give the user the right to connect, and check the password",
    ),
    "BadTooManySessions": (
        "the server has no session left",
        "close others, or raise its limit of sessions",
    ),
}
_ADVICE["BadSecurityChecksFailed"] = _ADVICE["BadCertificateUntrusted"]
_UNNAMED = (
    "the server ended it, or was silent, while the connection was being secured",
    (
        "most often it does not trust {certificate} (put it among those it trusts), or "
        "{server_certificate} is not the certificate that it uses now (get it anew), or it does "
        "not offer {security} in mode {mode}"
    ),
)
_EXPIRED = (f"{_OWN} {{certificate}} has expired", "renew it, and give it to the server")
_UNTRUSTED = _ADVICE["BadCertificateUntrusted"]
_NOT_OFFERED = (
    "the server does not offer {security} in mode {mode}: it offers {offered}",
    "set `security` and `mode` to what it offers",
)
_OTHER_SERVER = (
    "the server uses another certificate than {server_certificate}",
    "get its certificate anew, if it was changed on purpose, and name it as `server_certificate`",
)


class Offer(NamedTuple):
    """One endpoint that a server offers: policy and mode as configured, its certificate in DER."""

    security: str
    mode: str
    certificate: bytes


def advice(
    config: OpcUaSource, error: BaseException, offers: Sequence[Offer] = (), now_ns: int = 0
) -> tuple[str, str]:
    """(cause, hint) of a connection that was not made; never the name of an exception alone.

    Args:
        config: of the source.
        error: what ended it.
        offers: what the server offers, where it could be asked.
        now_ns: by the wall clock; 0 where validity is not to be judged.
    """
    if isinstance(error, FieldwardenError):
        return error.cause, error.hint or "check host, port and settings of this source"
    said = cause_of(error)
    secured = config.security != "None"
    known = next((text for name, text in _ADVICE.items() if name in said), None)
    if secured and (offers or known is None):
        known = _of_offers(config, offers, now_ns) or known or _UNNAMED
    if known is not None:
        cause, hint = (_filled(text, config, offers) for text in known)
        return (f"{cause} ({said})" if " " in said else cause), hint
    if isinstance(error, TimeoutError):
        return "no answer in time", "is it an OPC UA server, and the endpoint right?"
    plain = said if " " in said else "the connection ended, and nothing was said of why"
    return plain, "is the server running, is it OPC UA, and is the endpoint right?"


def _of_offers(
    config: OpcUaSource, offers: Sequence[Offer], now_ns: int
) -> tuple[str, str] | None:
    """What the server's own endpoints tell apart; None where it could not be asked."""
    try:
        pinned = der_of(Path(config.server_certificate))
        expired = now_ns and read_certificate(Path(config.certificate)).days_left(now_ns) < 0
    except FieldwardenError as error:
        return f"{error.operation} {error.subject}: {error.cause}", error.hint
    if expired:
        return _EXPIRED
    if not offers:
        return None
    if (config.security, config.mode) not in {(o.security, o.mode) for o in offers}:
        return _NOT_OFFERED
    return _UNTRUSTED if pinned in {o.certificate for o in offers} else _OTHER_SERVER


def _filled(text: str, config: OpcUaSource, offers: Sequence[Offer]) -> str:
    offered = sorted({f"{o.security} {o.mode}".replace("None None", "None") for o in offers})
    return text.format(
        certificate=config.certificate or _OWN,
        server_certificate=config.server_certificate or "the server's certificate",
        security=config.security,
        mode=config.mode,
        offered=", ".join(offered),
    )
