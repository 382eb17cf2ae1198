"""What connections have in common: who logs in, who is trusted, which broker, what is served."""

from __future__ import annotations

from agent.configuration.values import FilePath, Listen, Name, Port, Section


class Login(Section):
    """A user name, and where its password is: at most one of the three places."""

    username: str = ""
    password_file: FilePath = ""  # a file that holds the password and nothing else
    password_env: str = ""  # the environment variable that holds it
    password_credential: str = ""  # the systemd credential (LoadCredential=) that holds it


class Tls(Section):
    """Encryption of a TCP connection, and who is trusted."""

    tls: bool = False
    ca: FilePath = ""  # PEM; default: the system's certificate authorities
    certificate: FilePath = ""  # PEM, the agent's own, where the other side asks for one
    private_key: FilePath = ""  # PEM


class Broker(Login, Tls):
    """An MQTT broker."""

    host: Name
    port: Port | None = None  # default: 8883 with TLS, 1883 without

    @property
    def port_number(self) -> int:
        """The port, with its default filled in."""
        return self.port if self.port is not None else 8883 if self.tls else 1883


class Served(Section):
    """What is served over HTTP, or over TLS where there is a certificate."""

    listen: Listen
    certificate: FilePath = ""  # PEM; with it the page is served over TLS
    private_key: FilePath = ""  # PEM

    @property
    def address(self) -> tuple[str, int]:
        """Host (without brackets) and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)
