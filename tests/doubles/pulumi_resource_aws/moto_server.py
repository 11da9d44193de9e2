"""moto answering for EC2 on a port of 127.0.0.1: as a process of its own, or as a thread of the plugin.

    python -m tests.doubles.pulumi_resource_aws.moto_server FILE [PUBLIC_KEY_FILE]

writes its address to FILE once it answers, and stands until it is ended. All that it knows, it holds in memory.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from . import catalogue

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer


def _listening(public_key: str) -> BaseWSGIServer:
    os.environ["MOTO_AMIS_PATH"] = str(catalogue.AMIS)  # moto reads it while it is imported
    from moto.ec2.models import ec2_backends
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each request
    cloud = ec2_backends[catalogue.ACCOUNT][catalogue.REGION]
    cloud.import_key_pair(catalogue.KEY_PAIR, public_key.strip().encode(), {})
    # one request at a time: moto's backends are not made for several
    return make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)


def in_thread(public_key: str) -> str:
    """Starts moto in a thread of this process, with which it ends; its address."""
    server = _listening(public_key)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return _address(server)


def _address(server: BaseWSGIServer) -> str:
    return f"http://127.0.0.1:{server.port}"


def _main(address: Path, public_key: Path | None) -> None:
    server = _listening(public_key.read_text() if public_key else catalogue.PUBLIC_KEY)
    written = address.with_suffix(".new")
    written.write_text(_address(server))  # it listens already, so whoever reads this is answered
    written.rename(address)
    server.serve_forever()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
