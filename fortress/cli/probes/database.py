"""Runs on a worker (python3, standard library only): is the database there, over TLS that the given CA vouches for?

`python3 -I - ADDRESS PORT CA_PEM`, with this text as standard input; prints one JSON object: `tls`, `cipher`,
`not_after` (seconds since 1970) and `server`, or `error`. It needs no password: it logs in as a user that does not
exist and is turned away. Hanging up before that would be counted as a failed handshake, and after max_connect_errors
(100) of those MariaDB turns the whole host away (seen with 10.11).
"""

import json
import socket
import ssl
import struct
import sys

LONGEST_S = 5.0
NOBODY = b"fortress-verify"

# https://mariadb.com/kb/en/connection/: capabilities, the first packets, and the error packet.
PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH = 0x200, 0x800, 0x8000, 0x80000
CAPABILITIES = PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH
UTF8MB4 = 45
ERROR_PACKET, SWITCH_PACKET = 0xFF, 0xFE


class Refused(Exception):
    """The server answered, and not as it should."""


def read_packet(connection: socket.socket) -> bytes:
    """The next packet's payload."""
    header = read_bytes(connection, 4)
    payload = read_bytes(connection, int.from_bytes(header[:3], "little"))
    if payload[:1] == bytes([ERROR_PACKET]):
        code = int.from_bytes(payload[1:3], "little")
        text = payload[3:].decode(errors="replace")
        raise Refused(f"{code}: {text[6:] if text.startswith('#') else text}")
    return payload


def read_bytes(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes."""
    found = bytearray()
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise Refused("the server hung up")
        found += part
    return bytes(found)


def packet(sequence: int, payload: bytes) -> bytes:
    """A payload with its header."""
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


def read_greeting(payload: bytes) -> tuple[str, int]:
    """The server's version and the lower half of its capabilities."""
    if payload[:1] != b"\x0a":
        raise Refused("this is not MariaDB's protocol")
    version, _, rest = payload[1:].partition(b"\0")
    (capabilities,) = struct.unpack_from("<H", rest, 13)  # behind the thread's number and the first random bytes
    return version.decode(errors="replace").removeprefix("5.5.5-"), capabilities


def probe(address: str, port: int, ca_pem: str) -> dict[str, object]:
    """Connect, start TLS, check the server's certificate for this address, and leave in an orderly way.

    Raises:
        Refused: the server answers with an error.
        OSError: the connection fails.
        ssl.SSLError: its certificate is not for this address, or not from this CA.
    """
    start = struct.pack("<IIB23x", CAPABILITIES, 1 << 24, UTF8MB4)
    context = ssl.create_default_context(cadata=ca_pem)
    with socket.create_connection((address, port), LONGEST_S) as plain:
        version, capabilities = read_greeting(read_packet(plain))
        if not capabilities & SSL:
            raise Refused("the server does not offer TLS")
        plain.sendall(packet(1, start))
        with context.wrap_socket(plain, server_hostname=address) as secure:
            found: dict[str, object] = {
                "server": version,
                "tls": secure.version(),
                "cipher": (secure.cipher() or ("",))[0],
            }
            certificate = secure.getpeercert() or {}
            found["not_after"] = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
            try:
                secure.sendall(packet(2, start + NOBODY + b"\0\0mysql_native_password\0"))
                if read_packet(secure)[:1] == bytes([SWITCH_PACKET]):
                    secure.sendall(packet(4, b""))
                    read_packet(secure)
            except (Refused, OSError):
                pass  # turned away, as meant
    return found


if __name__ == "__main__":
    try:
        answer = probe(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    except ssl.SSLCertVerificationError as error:
        answer = {"error": f"certificate: {error.verify_message}"}
    except Refused as error:
        answer = {"error": str(error)}
    except TimeoutError:
        answer = {"error": f"no answer from {sys.argv[1]}:{sys.argv[2]} within {LONGEST_S:.0f} s"}
    except OSError as error:
        answer = {"error": f"{sys.argv[1]}:{sys.argv[2]}: {error.strerror or error}"}
    print(json.dumps(answer))
