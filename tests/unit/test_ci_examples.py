"""The workflows of examples/ci: refused forks, tokens where they belong, and a comment that is updated in place."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fortress.cli.main import app
from fortress.cli.preview.comment import marker
from fortress.cli.preview.run import LONGEST_S
from tests.unit.stack_file import ROOT

CI = ROOT / "examples" / "ci"
MARKER = "<!-- fortress preview: prod -->"
AUTHORS = {"github": "github-actions[bot]", "gitlab": "robot", "forgejo": "forgejo-actions"}


def workflow(forge: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load((CI / f"{forge}.yml").read_text())
    return found


# --- the workflows ----------------------------------------------------------------------------------------------------


SECRETS = {"PULUMI_CONFIG_PASSPHRASE"} | {
    f"{prefix}_READ_{name}"
    for prefix, names in {
        "STATE": ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
        "AWS": ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"),
        "OS": ("APPLICATION_CREDENTIAL_ID", "APPLICATION_CREDENTIAL_SECRET"),
    }.items()
    for name in names
}


@pytest.mark.parametrize("forge", ["github", "forgejo"])
def test_forks_are_refused_and_only_the_posting_step_has_the_token(forge: str) -> None:
    flow = workflow(forge)
    assert flow[True] == "pull_request", "YAML reads `on` as true"
    jobs = flow["jobs"].values()
    assert all("github.event.pull_request.head.repo.full_name == github.repository" in job["if"] for job in jobs)
    steps = [step for job in jobs for step in job["steps"]]
    with_token = [step for step in steps if "token" in json.dumps(step.get("env", {})).lower()]
    assert [step["run"].split()[0] for step in with_token] == ["examples/ci/post-comment.sh"]
    with_secrets = [step for step in steps if "secrets." in json.dumps(step)]
    assert len(with_secrets) == 1
    assert "examples/ci/preview.sh" in with_secrets[0]["run"]
    assert set(re.findall(r"secrets\.(\w+)", json.dumps(with_secrets))) == SECRETS
    assert all(step["with"]["persist-credentials"] is False for step in steps if "checkout" in step.get("uses", ""))
    assert "${{" not in "".join(step.get("run", "") for step in steps), "no expression inside a script"


def test_on_github_what_runs_the_program_may_not_write_comments() -> None:
    flow = workflow("github")
    assert flow["permissions"] == {}
    preview, comment = flow["jobs"]["preview"], flow["jobs"]["comment"]
    assert preview["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert comment["steps"][0]["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    upload, download = preview["steps"][-1], comment["steps"][1]
    assert upload["with"]["name"] == download["with"]["name"]
    assert (upload["with"]["path"], download["with"]["path"]) == (
        "${{ runner.temp }}/comment.md",
        "${{ runner.temp }}",
    )


def test_on_gitlab_what_runs_the_program_may_not_write_notes() -> None:
    flow = workflow("gitlab")
    preview, comment = flow["preview"], flow["comment"]
    for job in (preview, comment):
        assert [rule["if"] for rule in job["rules"]] == [
            '$CI_PIPELINE_SOURCE == "merge_request_event" && $CI_MERGE_REQUEST_SOURCE_PROJECT_ID == '
            "$CI_MERGE_REQUEST_PROJECT_ID"
        ]
    assert "COMMENT_TOKEN" not in json.dumps(preview)
    assert not [name for name in SECRETS if name in json.dumps(comment)]
    # A variable is given to the jobs of its environment.
    assert {job["environment"]["name"] for job in (preview, comment)} == {"preview", "preview-comment"}
    assert {job["environment"]["action"] for job in (preview, comment)} == {"access"}
    bare = next(line for line in preview["before_script"] if "without_secrets()" in line)
    assert set(re.findall(r"-u (\w+)", bare)) == SECRETS
    for line in preview["before_script"]:
        for command in re.findall(r"[^|&]*(?:apt-get|pip |sh -s)", line):
            assert command.lstrip().startswith("without_secrets "), command
    assert "FETCH_HEAD:examples/ci/post-comment.sh" in " ".join(comment["script"])


def test_the_comment_is_posted_whatever_became_of_the_preview() -> None:
    """By whether there is one: the engine's exit status may be any, 2 among them."""
    posting = {
        "github": workflow("github")["jobs"]["comment"],
        "forgejo": workflow("forgejo")["jobs"]["preview"]["steps"][-1],
    }
    assert all("!cancelled()" in one["if"] for one in posting.values())
    assert workflow("github")["jobs"]["preview"]["steps"][-1]["if"] == "${{ !cancelled() }}"
    assert workflow("gitlab")["preview"]["artifacts"]["when"] == "always"
    assert [rule["when"] for rule in workflow("gitlab")["comment"]["rules"]] == ["always"]
    for forge in AUTHORS:
        assert "status" not in re.sub("#.*", "", (CI / f"{forge}.yml").read_text()), "a failing preview fails its job"


@pytest.mark.parametrize("forge", [*AUTHORS, "audit-github", "audit-gitlab"])
def test_what_is_installed_is_pinned(forge: str) -> None:
    text = (CI / f"{forge}.yml").read_text()
    installs = re.findall(r"pip install .*", text)
    assert installs == ["pip install --quiet --require-hashes --only-binary :all: -r requirements.txt"]
    (engine,) = re.findall(r"^engine=(\S+)", (ROOT / "lab/engine.sh").read_text(), re.MULTILINE)
    assert re.findall(r"(?:--version|pulumi-version:) (\S+)", text) == [engine]
    # Those whose commits nobody here has seen are named in the README.
    by_tag = [used for used in re.findall(r"uses: (\S+)", text) if not re.search("@[0-9a-f]{40}$", used)]
    assert [used for used in by_tag if f"`{used}`" not in (CI / "README.md").read_text()] == []
    for pinned in re.findall(r"@[0-9a-f]{40}.*", text):
        assert re.search(r" # v\d+\.\d+\.\d+$", pinned), pinned


def test_an_action_in_a_container_finds_node() -> None:
    """Forgejo's runner brings none into the container of a job, and the image has none."""
    found = 0
    for job in [*workflow("github")["jobs"].values(), *workflow("forgejo")["jobs"].values()]:
        if "container" in job:
            first = next(number for number, step in enumerate(job["steps"]) if "uses" in step)
            before = "".join(step["run"] for step in job["steps"][:first])
            assert re.search(r"apt-get .*install .*\bnodejs\b", before)
            found += 1
    assert found, "Forgejo's job has one"


@pytest.mark.parametrize("forge", [*AUTHORS, "audit-github", "audit-gitlab"])
def test_the_key_to_the_state_goes_into_a_file_of_the_users_own(forge: str, tmp_path: Path) -> None:
    """By the shell itself, so that it stands in no command line."""
    text = re.sub(r"\s+", " ", (CI / f"{forge}.yml").read_text())
    (line,) = re.findall(r"\(umask .*?/credentials\)", text)
    prefix = "STATE_READ" if "gitlab" in forge else "STATE"
    keys = {f"{prefix}_ACCESS_KEY_ID": "id", f"{prefix}_SECRET_ACCESS_KEY": "hush"}
    subprocess.run(
        ["/bin/sh", "-euc", line.replace("\\ ", "")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **keys},
        check=True,
        timeout=60,
    )
    file = tmp_path / ".aws" / "credentials"
    assert file.read_text() == "[state]\naws_access_key_id = id\naws_secret_access_key = hush\n"
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("forge", AUTHORS)
def test_the_engine_ends_before_its_job_does(forge: str) -> None:
    minutes = [int(number) for number in re.findall(r"timeout(?:-minutes)?: (\d+)", (CI / f"{forge}.yml").read_text())]
    assert minutes[0] * 60 > LONGEST_S


@pytest.mark.parametrize("forge", AUTHORS)
def test_what_a_workflow_needs_is_explained_and_there(forge: str) -> None:
    text, readme = (CI / f"{forge}.yml").read_text(), (CI / "README.md").read_text()
    for name in SECRETS - {"OS_READ_APPLICATION_CREDENTIAL_SECRET"}:  # which stands there as …
        assert name in text
        assert f"`{name}`" in readme
    for script in ("preview.sh", "post-comment.sh"):
        assert re.search(rf"{script} {forge} \S*comment\.md\b", text)
        assert os.access(CI / script, os.X_OK)
    assert f"`{forge}.yml`" in readme


# --- the audit --------------------------------------------------------------------------------------------------------


AUDITS = ("audit-github", "audit-gitlab")
AUDIT_SECRETS = {"PULUMI_CONFIG_PASSPHRASE", "STATE_READ_ACCESS_KEY_ID", "STATE_READ_SECRET_ACCESS_KEY"}


def started(forge: str) -> list[list[str]]:
    """The words of each start of the command in a workflow."""
    text = re.sub(r"\\\n\s*", " ", (CI / f"{forge}.yml").read_text())
    return [shlex.split(line) for line in re.findall(r"cli\.start import main; main\(\)' (.*)", text)]


@pytest.mark.parametrize("forge", AUDITS)
def test_an_audit_runs_by_the_clock_and_its_command_is_one_that_there_is(forge: str) -> None:
    (words,) = started(forge)
    assert (words[0], words[words.index("--stack") + 1]) == ("audit", "$STACK")
    assert words[words.index("--sarif") + 1].endswith("audit.sarif")
    done = CliRunner().invoke(app, [*words, "--help"])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(app, [*words, "--sariff", "--help"]).exit_code == 2, "an option that is none is found"
    assert f"`{forge}.yml`" in (CI / "README.md").read_text()


def test_an_audit_on_github_has_no_token_beside_the_secrets_and_hands_findings_on() -> None:
    flow = workflow("audit-github")
    assert set(flow[True]) == {"schedule", "workflow_dispatch"}
    assert re.fullmatch(r"\d+ \d+ \* \* \*", flow[True]["schedule"][0]["cron"])
    assert flow["permissions"] == {}
    audit, findings = flow["jobs"]["audit"], flow["jobs"]["findings"]
    assert audit["permissions"] == {"contents": "read"}
    assert findings["permissions"] == {"security-events": "write"}
    with_secrets = [step for job in (audit, findings) for step in job["steps"] if "secrets." in json.dumps(step)]
    assert set(re.findall(r"secrets\.(\w+)", json.dumps(with_secrets))) == AUDIT_SECRETS
    assert ["audit --stack" in step["run"] for step in with_secrets] == [True]
    assert "${{" not in "".join(step.get("run", "") for step in audit["steps"]), "no expression inside a script"
    assert audit["steps"][0]["with"]["persist-credentials"] is False
    # Findings are handed on just when the audit failed, too.
    upload, (download, shown) = audit["steps"][-1], findings["steps"]
    assert upload["if"] == findings["if"] == "${{ !cancelled() }}"
    assert upload["with"]["name"] == download["with"]["name"]
    assert upload["with"]["path"] == shown["with"]["sarif_file"] == "${{ runner.temp }}/audit.sarif"


def test_an_audit_on_gitlab_is_of_a_schedule_and_keeps_its_findings() -> None:
    job = workflow("audit-gitlab")["audit"]
    assert job["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["paths"] == ["audit.sarif"]
    bare = next(line for line in job["before_script"] if "without_secrets()" in line)
    assert set(re.findall(r"-u (\w+)", bare)) == AUDIT_SECRETS
    for line in job["before_script"]:
        for command in re.findall(r"[^|&]*(?:apt-get|pip |sh -s)", line):
            assert command.lstrip().startswith("without_secrets "), command


# --- the comment ------------------------------------------------------------------------------------------------------


class FakeForge(ThreadingHTTPServer):
    """A forge as far as comments go: it keeps them, 100 a page but for Forgejo, and what was asked of it."""

    def __init__(self, forge: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.forge = forge
        self.comments: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()

    def add(self, author: str, body: str) -> int:
        number = len(self.comments) + 1
        who = {"author": {"username": author}} if self.forge == "gitlab" else {"user": {"login": author}}
        self.comments.append({"id": number, "body": body, **who})
        return number


class _Answer(BaseHTTPRequestHandler):
    server: FakeForge

    def _answer(self) -> None:
        forge = self.server
        path, _, query = self.path.partition("?")
        forge.asked.append(f"{self.command} {path}")
        forge.tokens.add(self.headers.get("PRIVATE-TOKEN") or self.headers.get("Authorization"))
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length))["body"] if length else ""
        answer: Any
        if path.endswith("/user"):
            answer = {"username": "robot"}
        elif self.command == "GET":
            page = int(dict(part.split("=") for part in query.split("&"))["page"])
            answer = forge.comments if forge.forge == "forgejo" else forge.comments[(page - 1) * 100 : page * 100]
        elif self.command == "POST":
            answer = {"id": forge.add(AUTHORS[forge.forge], body)}
        else:
            answer = next(one for one in forge.comments if one["id"] == int(path.rpartition("/")[2]))
            answer["body"] = body
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(params=AUTHORS)
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    server = FakeForge(request.param)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def post(forge: FakeForge, folder: Path, body: str | None, stack: str = "prod") -> subprocess.CompletedProcess[str]:
    (folder / "comment.md").unlink(missing_ok=True)
    if body is not None:
        (folder / "comment.md").write_text(body)
    (folder / "event.json").write_text('{"pull_request": {"number": 7}}')
    url = f"http://127.0.0.1:{forge.server_address[1]}"
    return subprocess.run(
        [str(CI / "post-comment.sh"), forge.forge, str(folder / "comment.md")],
        env={
            "PATH": os.environ["PATH"],
            "TOKEN": "hush",
            "STACK": stack,
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_API_URL": url,
            "GITHUB_REPOSITORY": "us/fortress",
            "CI_API_V4_URL": url,
            "CI_MERGE_REQUEST_PROJECT_ID": "3",
            "CI_MERGE_REQUEST_IID": "7",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_comment_is_written_once_and_then_updated(forge: FakeForge, tmp_path: Path) -> None:
    first, second = f'{MARKER}\n## One `$x` "é"\n', f"{MARKER}\n## Two\n"
    done = post(forge, tmp_path, first)
    assert done.returncode == 0, done.stderr
    assert [one["body"] for one in forge.comments] == [first]
    done = post(forge, tmp_path, second)
    assert done.returncode == 0, done.stderr
    assert [one["body"] for one in forge.comments] == [second]
    change = "PUT /projects/3/merge_requests/7/notes/1" if forge.forge == "gitlab" else ""
    assert forge.asked[-1] == (change or "PATCH /repos/us/fortress/issues/comments/1")
    assert forge.tokens == {"hush" if forge.forge == "gitlab" else "token hush"}


def test_only_our_own_comment_of_this_stack_is_updated_wherever_it_stands(forge: FakeForge, tmp_path: Path) -> None:
    own = AUTHORS[forge.forge]
    forge.add("mallory", f"{MARKER}\nnot ours")
    forge.add(own, "<!-- fortress preview: prod2 -->\nanother stack's")
    for number in range(120):
        forge.add("someone", f"talk {number} {MARKER}")
    mine = forge.add(own, f"{MARKER}\nold")
    before = [one["body"] for one in forge.comments if one["id"] != mine]
    done = post(forge, tmp_path, f"{MARKER}\nnew")
    assert done.returncode == 0, done.stderr
    assert forge.comments[mine - 1]["body"] == f"{MARKER}\nnew"
    assert [one["body"] for one in forge.comments if one["id"] != mine] == before


def test_what_is_no_preview_is_not_posted(forge: FakeForge, tmp_path: Path) -> None:
    done = post(forge, tmp_path, "hello\n")
    assert done.returncode == 1
    assert "does not begin with the marker" in done.stderr
    assert forge.asked == []


@pytest.mark.parametrize("stack", ["prod", "organization/x/a.b_c-1", "a-->`b\n<x>" + "y" * 300])
def test_where_there_is_no_preview_the_old_one_does_not_stay(forge: FakeForge, tmp_path: Path, stack: str) -> None:
    assert post(forge, tmp_path, f"{marker(stack)}\n## Preview of an earlier push\n", stack).returncode == 0
    done = post(forge, tmp_path, None, stack)
    assert done.returncode == 0, done.stderr
    (one,) = forge.comments
    first, title, *rest = one["body"].split("\n")
    assert first == marker(stack)
    assert title.endswith("`: it could not be created")
    assert rest == ["", "What this push would change is not known. The log of the preview says why.", ""]


def test_a_comment_of_an_earlier_run_is_taken_away_first(tmp_path: Path) -> None:
    """The preview cannot even start; what its file says then would be another push's."""
    tool, comment = tmp_path / "python3", tmp_path / "comment.md"
    tool.write_text("#!/bin/sh\nexit 2\n")
    tool.chmod(0o755)
    comment.write_text(f"{MARKER}\nold\n")
    done = subprocess.run(
        [str(CI / "preview.sh"), "github", str(comment)],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "STACK": "prod"},
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, comment.exists()) == (2, False)


def test_the_preview_is_that_of_the_command(tmp_path: Path) -> None:
    """Started from the repository's root; no stack can be asked here, so that there is no comment."""
    done = subprocess.run(
        [str(CI / "preview.sh"), "github", str(tmp_path / "comment.md")],
        cwd=ROOT,
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "STACK": "no such",
            "PULUMI_BACKEND_URL": "file:///no",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "fortress: " in done.stderr
    assert not (tmp_path / "comment.md").exists()


def test_the_preview_has_an_agent_of_its_own_that_ends_with_it(tmp_path: Path) -> None:
    tool = tmp_path / "python3"
    tool.write_text('#!/bin/sh\nssh-add -l >"$OUT"\necho "$SSH_AUTH_SOCK" >>"$OUT"\necho "$*" >>"$OUT"\nexit 255\n')
    tool.chmod(0o755)
    done = subprocess.run(
        [str(CI / "preview.sh"), "gitlab", "comment.md"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "STACK": "prod", "OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 255, done.stderr
    keys, agent, arguments = (tmp_path / "out").read_text().splitlines()
    assert "ED25519" in keys
    assert arguments.removeprefix("-c from fortress.cli.start import main; main() ") == (
        "preview --stack prod --forge gitlab --output comment.md"
    )
    for _ in range(50):  # it takes its socket away as it ends, a moment after it was told to
        if not Path(agent).exists():
            break
        time.sleep(0.1)
    assert not Path(agent).exists()
