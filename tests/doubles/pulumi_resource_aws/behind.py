"""What happens to instances behind the engine's back, for tests."""

from __future__ import annotations

import subprocess
import sys

from lab import api
from lab.base import folders

from . import instance
from .catalogue import ACCESS_KEY, REGION, SECRET_KEY
from .cloud import ROOT, connect


def lose(instance_id: str) -> None:
    """The cloud loses an instance of the current lab: terminated without the engine, its host's plug pulled.

    Raises:
        LabError: the lab does not stand.
        subprocess.CalledProcessError: the cloud refused; its words are on standard error.
    """
    lab = folders.current()
    # moto answers in the operator's namespace alone
    command = [
        *("env", f"PYTHONPATH={ROOT}", f"FORTRESS_CLOUDS={lab.clouds}"),
        *(sys.executable, "-P", "-m", __name__, instance_id),
    ]
    done = api.in_operator(command)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)


if __name__ == "__main__":
    configuration = {"region": REGION, "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    instance.end(connect(configuration), sys.argv[1])
