"""A host to push files to: fortress/push.sh run by dash in namespaces of its own, on folders of the test's own.

`/var/lib`, `/run`, `/usr/local/sbin`, `/usr/local/lib` and `/etc/systemd/system` are bind mounts of folders below
`root`, so the script runs unchanged where it will stand; everything that one run started ends with that run. Needs
root.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "fortress" / "push.sh"
DOUBLES = REPOSITORY / "tests" / "doubles" / "bin-host"
END = b"# fortress-push: end of file\n"

# What push.sh may call. A run with cuts finds nothing else on its PATH, so a new command must be named here.
COMMANDS = """
apt-get base64 cat chmod chown cp dpkg dpkg-query flock grep id install journalctl ln mkdir mv rm rmdir sed setsid
sha256sum sh sleep stat sync systemctl systemd-run tail timeout touch truncate
"""

# Enters the host, below an init that outlives what it runs. (One mount for all: a run costs few milliseconds.)
ENTER = """
/bin/mount --fstab "$1/fstab" --all || exit 99
shift
"$@"
exit $?
"""
MOUNTS = {
    "varlib": "/var/lib",
    "run": "/run",
    "sbin": "/usr/local/sbin",
    "lib": "/usr/local/lib",
    "systemd": "/etc/systemd/system",
}

# Stands before a command of the script's: notes the call, one line each, and from call CUT_AT on pulls the plug (KILL)
# or cuts the connection (HUP) before the command runs. (sh is what timeout runs, in a process group of its own.)
CUT = """#!/bin/sh
echo {command} >>'{calls}'
calls=0
while read -r _; do calls=$((calls + 1)); done <'{calls}'
if [ $calls -ge "$CUT_AT" ]; then
    case $CUT_BY:{command} in
        KILL:*) kill -KILL -1; kill -KILL $$ ;;
        HUP:sh) ;;
        HUP:*) kill -HUP 0 ;;
    esac
fi
exec '{real}' "$@"
"""

# The folders that a run may change.
PARTS = ("varlib", "run", "sbin", "lib", "systemd", "t", "doubles")

# A cut that no run comes to.
NEVER = 1000


class Cut(Exception):
    """The plug was pulled before the script ended."""


class PushHost:
    """One host. Its files are below `root`; pushed files may stand anywhere, and tests put them below `root / "t"`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.doubles = root / "doubles"
        self.state = root / "varlib" / "fortress"
        self.log = self.doubles / "log"
        self.shims = root / "shims"
        self.snapshots = root.with_name(root.name + "-snapshots")
        for folder in ("varlib", "run", "sbin", "lib", "systemd/sysinit.target.wants", "t"):
            (root / folder).mkdir(parents=True)
        self.doubles.mkdir()
        for name, text in (("calls", ""), ("unit-states", "active 1\n"), ("journal", ""), ("timers", "")):
            (self.doubles / name).write_text(text)
        (root / "fstab").write_text("".join(f"{root / part} {at} none bind 0 0\n" for part, at in MOUNTS.items()))
        shutil.copy(SCRIPT, root / "sbin" / "fortress-push")
        self.shims.mkdir()
        self.shim("sleep", "exec /usr/bin/sleep 0.01\n")  # so that no test waits long

    def shim(self, command: str, text: str) -> None:
        """A test's own program in front of `command`."""
        file = self.shims / command
        file.write_text("#!/bin/sh\n" + text)
        file.chmod(0o755)

    def run(
        self,
        *words: str | Path,
        stdin: bytes = b"",
        cut_at: int = 0,
        cut_by: str = "KILL",
        deaf: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Runs one command line on the host.

        cut_at: the call of a command before which the plug is pulled (`Cut` is raised) or, with cut_by="HUP", the
        connection goes. deaf: nobody reads what the command says; each write to stdout and stderr fails.
        """
        path = f"{self.shims}:{DOUBLES}:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
        if cut_at:
            path = str(self._cuts())
        environment = {
            "PATH": path,
            "PUSH_DOUBLES": str(self.doubles),
            "LOG": str(self.log),
            "CUT_AT": str(cut_at),
            "CUT_BY": cut_by,
        }
        enter = ["/usr/bin/unshare", "--mount-proc", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", ENTER, "enter"]
        # With a cut, in a process group of its own, and with another process id than its repeat gets.
        enter += [str(self.root), *(["/usr/bin/setsid", "--fork", "--wait"] if cut_at else []), *map(str, words)]
        output: int = subprocess.PIPE
        if deaf:
            reader, output = os.pipe()
            os.close(reader)
        try:
            done = subprocess.run(
                enter,
                input=stdin,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
                timeout=60,
                check=False,
            )
        finally:
            if deaf:
                os.close(output)
        if cut_at and cut_by == "KILL" and done.returncode == 137:
            raise Cut
        said = [(text or b"").decode() for text in (done.stdout, done.stderr)]
        assert done.returncode != 99, f"the host could not be entered: {said}"
        return subprocess.CompletedProcess(words, done.returncode, *said)

    def push(
        self,
        *words: str | Path,
        text: bytes | None = None,
        stdin: bytes = b"",
        cut_at: int = 0,
        cut_by: str = "KILL",
        deaf: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Runs `fortress-push WORDS` under dash; `text` is sent as HostFile sends it, with the last line behind it."""
        if text is not None:
            stdin = text + END
        command = ("/usr/bin/dash", "/usr/local/sbin/fortress-push", *words)
        return self.run(*command, stdin=stdin, cut_at=cut_at, cut_by=cut_by, deaf=deaf)

    def _cuts(self) -> Path:
        """The folder of commands that note their calls; made once, and the notes start again with each run."""
        folder, calls = self.root / "cuts", self.root / "calls"
        if not folder.exists():
            folder.mkdir()
            for command in COMMANDS.split():
                real = shutil.which(command, path=f"{self.shims}:{DOUBLES}:/usr/bin:/usr/sbin")
                assert real, f"{command} is not on this machine"
                file = folder / command
                file.write_text(CUT.format(calls=calls, command=command, real=real))
                file.chmod(0o755)
        calls.write_text("")
        return folder

    def calls(self) -> list[str]:
        """The commands that the last run with `cut_at` called."""
        return (self.root / "calls").read_text().split()

    def snapshot(self, name: str) -> None:
        """Remembers the whole host."""
        shutil.rmtree(self.snapshots / name, ignore_errors=True)
        (self.snapshots / name).mkdir(parents=True)
        self._copy(self.root, self.snapshots / name)

    def restore(self, name: str) -> None:
        """The host as it was at the snapshot."""
        for part in PARTS:
            shutil.rmtree(self.root / part)
        self._copy(self.snapshots / name, self.root)

    def _copy(self, source: Path, target: Path) -> None:
        subprocess.run(["/bin/cp", "-a", *(source / part for part in PARTS), target], check=True)

    def logged(self) -> list[str]:
        """What check and apply commands of the tests wrote, in order; empties the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.write_text("")
        return lines

    def asked(self) -> list[str]:
        """The calls of the doubles, in order; empties their list."""
        lines = (self.doubles / "calls").read_text().splitlines()
        (self.doubles / "calls").write_text("")
        return lines

    def tree(self, folder: str) -> list[str]:
        """Files and folders below `root / folder`, as relative paths."""
        return sorted(str(p.relative_to(self.root / folder)) for p in (self.root / folder).rglob("*"))

    def record(self, target: Path) -> Path:
        """Where the state of a pushed file is kept."""
        return self.state / "files" / str(target).replace("%", "%25").replace("/", "%2F")


def sha256(text: bytes) -> str:
    """The sum as the script prints it."""
    return hashlib.sha256(text).hexdigest()
