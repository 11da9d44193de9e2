"""One file on each worker: the program that they run, restarted one after the other."""

from pyinfra import host
from pyinfra.operations import files, server

if "worker" in host.groups:
    program = files.put(
        name="The workload's program", src=f"{host.data.content}/opt/app/app.py", dest="/opt/app/app.py", mode="644"
    )
    url = f"http://{host.data.mesh_address}{host.data.health}"
    server.shell(
        name="Restart the workload and wait until it is healthy",
        commands=[
            f"systemctl restart {host.data.workload}",
            "timeout 60 python3 -c '\nimport time, urllib.request\nwhile True:\n    try:\n"
            f'        urllib.request.urlopen("{url}", timeout=1); break\n'
            "    except OSError:\n        time.sleep(0.1)\n'",
        ],
        _if=program.did_change,
        _serial=True,
    )
