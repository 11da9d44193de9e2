"""The fortress as seen from the machine that runs the command: open ports, the edge's answers, its certificate."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID

from fortress import haproxy
from fortress.cli.base.errors import printable

PORT_ANSWERS_S = 2.5
"""Seconds for one port: the first SYN is sent again after one (RFC 6298), so one lost packet is forgiven."""

HTTP_PORT = haproxy.HTTP_PORT
"""Where the edge answers plain HTTP; another one in tests."""

AT_ONCE = 100
"""Ports tried at a time; a home router's tables hold thousands."""


_MADE_THERE = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, haproxy.SELF_SIGNED_NAME)])

_ODD_CERTIFICATE = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion)


class SilentError(Exception):
    """No answer at all, as from a machine that is off or a network that is down."""


class WrongAnswerError(Exception):
    """A wrong answer, described in one line."""


def scan(targets: Mapping[str, Iterable[int]]) -> dict[str, dict[int, bool]]:
    """Try to connect to TCP ports of addresses, all at once: address to port to whether it is open."""
    return asyncio.run(_scan({address: sorted(set(ports)) for address, ports in targets.items()}))


async def _scan(targets: Mapping[str, list[int]]) -> dict[str, dict[int, bool]]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def is_open(address: str, port: int) -> bool:
        async with turn:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), PORT_ANSWERS_S)
            except OSError:  # refused, unreachable, timed out
                return False
            writer.transport.abort()
            return True

    async def one(address: str, ports: list[int]) -> dict[int, bool]:
        answers = await asyncio.gather(*(is_open(address, port) for port in ports))
        return dict(zip(ports, answers, strict=True))

    found = await asyncio.gather(*(one(address, ports) for address, ports in targets.items()))
    return dict(zip(targets, found, strict=True))


@dataclass(frozen=True)
class HttpsAnswer:
    """The edge's answer over HTTPS, and its certificate."""

    status: int
    not_after: float
    """Seconds since 1970."""
    names: tuple[str, ...]
    """DNS names and addresses that the certificate is for."""
    self_signed: bool
    made_there: bool
    """Whether the edge's own script generated it."""


def https(url: str, server_name: str, path: str, timeout: float) -> HttpsAnswer:
    """GET the path from the edge's own address, asking for `server_name`.

    The chain is not verified: the lab's edge signs for itself.

    Raises:
        SilentError: nothing answers.
        WrongAnswerError: something else than HTTP answers.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    parts = urlsplit(url)
    with (
        closing(_dial(parts.hostname or "", parts.port or haproxy.HTTPS_PORT, timeout)) as plain,
        _within(timeout, plain),
        closing(context.wrap_socket(plain, server_hostname=server_name)) as secure,
    ):
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        status, _ = _get(secure, server_name, path)
        return HttpsAnswer(
            status,
            certificate.not_valid_after_utc.timestamp(),
            _names(certificate),
            certificate.issuer == certificate.subject,
            certificate.issuer == certificate.subject == _MADE_THERE,
        )


@dataclass(frozen=True)
class TlsAnswer:
    """What the edge agreed on with a client that offers every version, and with one that has only broken ones."""

    version: str
    cipher: str
    oldest: str | None
    """Empty where the second got nothing; None where this machine's OpenSSL is not able to be such a client."""


def tls(url: str, server_name: str, timeout: float) -> TlsAnswer:
    """Begin TLS with the edge twice, and say nothing. Raises as `https` does."""
    version, cipher = _negotiated(url, server_name, timeout, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    try:
        oldest, _ = _negotiated(url, server_name, timeout, ssl.TLSVersion.TLSv1_1)
    except _NotAbleError:
        return TlsAnswer(version, cipher, None)
    except WrongAnswerError:
        return TlsAnswer(version, cipher, "")
    return TlsAnswer(version, cipher, oldest)


class _NotAbleError(Exception):
    """OpenSSL here offers nothing of what was asked for."""


def _negotiated(url: str, server_name: str, timeout: float, newest: ssl.TLSVersion) -> tuple[str, str]:
    """Version and cipher of a handshake in which a client offers all that OpenSSL has, up to a version."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # what was before 1.2 signs by SHA-1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, newest
    parts = urlsplit(url)
    with (
        closing(_dial(parts.hostname or "", parts.port or haproxy.HTTPS_PORT, timeout)) as plain,
        _within(timeout, plain),
    ):
        try:
            with context.wrap_socket(plain, server_hostname=server_name) as secure:
                return secure.version() or "", (secure.cipher() or ("",))[0]
        except ssl.SSLError as error:
            if error.reason in ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE"):
                raise _NotAbleError from None
            raise


def http_redirect(url: str, server_name: str, path: str, timeout: float) -> tuple[int, str]:
    """GET the path over plain HTTP from the edge's own address: status and Location. Raises as `https` does."""
    address = urlsplit(url).hostname or ""
    with closing(_dial(address, HTTP_PORT, timeout)) as plain, _within(timeout, plain):
        return _get(plain, server_name, path)


def anonymous(url: str, timeout: float) -> int:
    """The status of a GET without a login. Its answer is not read. Raises as `https` does."""
    parts = urlsplit(url)
    is_secure = parts.scheme == "https"
    port = parts.port or (haproxy.HTTPS_PORT if is_secure else haproxy.HTTP_PORT)
    host = parts.hostname or ""
    with closing(_dial(host, port, timeout)) as plain, _within(timeout, plain):
        if not is_secure:
            return _get(plain, parts.netloc, parts.path)[0]
        with closing(ssl.create_default_context().wrap_socket(plain, server_hostname=host)) as secure:
            return _get(secure, parts.netloc, parts.path)[0]


def _dial(address: str, port: int, timeout: float) -> socket.socket:
    try:
        return socket.create_connection((address, port), timeout)
    except ConnectionRefusedError:
        raise WrongAnswerError("connection refused") from None
    except OSError as error:
        raise SilentError(_why(error)) from None


@contextmanager
def _within(seconds: float, connection: socket.socket) -> Iterator[None]:
    """Cut a conversation that takes longer overall: a server that sends a byte now and then never times out.

    Raises:
        WrongAnswerError: whatever goes wrong in it.
    """
    late = threading.Event()

    def cut() -> None:
        late.set()
        with suppress(OSError):
            own.shutdown(socket.SHUT_RDWR)

    own = connection.dup()  # TLS takes over the other one
    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (http.client.HTTPException, OSError, ValueError, *_ODD_CERTIFICATE) as error:
        raise WrongAnswerError("no answer in time" if late.is_set() else _why(error)) from None
    finally:
        timer.cancel()
        own.close()


def _get(connection: socket.socket, host: str, path: str) -> tuple[int, str]:
    client = http.client.HTTPConnection(host)
    client.sock = connection
    client.request("GET", path, headers={"Host": host, "User-Agent": "fortress-verify", "Connection": "close"})
    answer = client.getresponse()
    return answer.status, answer.getheader("Location", "")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return (
        *found.get_values_for_type(x509.DNSName),
        *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
    )


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.RemoteDisconnected):
        return "hung up without an answer"
    if isinstance(error, http.client.HTTPException):
        return "speaks no HTTP"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS fails: {printable(error.verify_message)}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS fails: {error.reason.replace('_', ' ').lower()}"
    return printable(getattr(error, "strerror", None) or str(error)) or "no reason given"


def covers(names: Iterable[str], wanted: str) -> bool:
    """Whether a certificate for `names` is valid for `wanted`; a wildcard matches one label (RFC 9525)."""
    labels = wanted.split(".")
    wildcard = ".".join(["*", *labels[1:]])
    return any(name.lower() in (wanted.lower(), wildcard.lower()) for name in names)
