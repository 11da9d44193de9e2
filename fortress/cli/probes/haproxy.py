"""Runs on the edge host (python3, standard library only): print what HAProxy's statistics socket knows of each server.

`python3 -I - SOCKET`, with this text as standard input. `show stat` changes nothing.
"""

import socket
import sys

LONGEST_S = 5.0


def show_stat(path: str) -> str:
    """The CSV of `show stat`.

    Raises:
        OSError: nothing answers on the socket.
    """
    answer = bytearray()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONGEST_S)
        connection.connect(path)
        connection.sendall(b"show stat\n")
        while part := connection.recv(65536):
            answer += part
    return answer.decode()


if __name__ == "__main__":
    try:
        sys.stdout.write(show_stat(sys.argv[1]))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error.strerror or error}")
