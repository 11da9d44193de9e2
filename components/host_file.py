"""Files on a host."""

import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import NotRequired, TypedDict

import pulumi
from pulumi_command import remote

from fortress import firewall, push, text
from fortress.host import FileBytes, FileFacts

from .checking import Facts, arguments, build, check, facts_of, wrong
from .remote import Member, Target, applied, child_options, command, stack_name

Step = Callable[[str], push.Command]
"""A command for a machine, by its identity."""


def script(*words: str) -> Step:
    """Runs a command there, such as a host script with its arguments."""
    return lambda machine: push.Run(machine=machine, command=words)


def packages(*names: str) -> Step:
    """Installs Debian packages that are not there yet."""
    return lambda machine: push.Packages(machine=machine, names=names)


class HostFileArgs(TypedDict):
    """What to put where. Exactly one of `content` and `binary_content` is given."""

    host: Member
    """A `Host`'s `member`."""
    path: str
    """Absolute path on the host."""
    content: NotRequired[pulumi.Input[str] | None]
    """The file's text, which lands byte for byte; or `binary_content`."""
    binary_content: NotRequired[pulumi.Input[str] | None]
    """The file in base64, for what is no text; or `content`."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""
    mode: NotRequired[str]
    """Octal, `0644` when not given."""
    owner: NotRequired[str]
    """`user:group`, `root:root` when not given."""
    check: NotRequired[str | None]
    """Shell command that refuses a bad candidate, which it sees as "$1"."""
    apply: NotRequired[str | None]
    """Shell command that makes the file take effect."""
    unit: NotRequired[str | None]
    """systemd unit that must be active afterwards; the old file comes back if it is not."""


class HostFile(pulumi.ComponentResource):
    """A file that is written beside its target, validated, put in place by a rename and applied, or taken back."""

    path: pulumi.Output[str]
    """Where it stands."""

    def __init__(self, name: str, args: HostFileArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("HostFile", name, HostFileArgs, args)
        content, encoded = args.get("content"), args.get("binary_content")
        binary = [] if encoded is None else [Facts(FileBytes, {"binary_content": encoded})]
        check("HostFile", name, facts_of(FileFacts, args), *binary)
        given = [each for each in (content, encoded) if each is not None]
        if len(given) != 1:
            raise wrong("HostFile", name, "content", "set either content or binary_content")
        super().__init__("fortress:index:HostFile", name, {}, opts)
        pushed = put(
            f"{name}-push",
            {"member": args["host"], "private_key": args.get("private_key")},
            args["path"],
            given[0],
            child_options(self, opts),
            mode=args.get("mode", "0644"),
            owner=args.get("owner", "root:root"),
            check=args.get("check"),
            apply=args.get("apply"),
            unit=args.get("unit"),
            send=push.exact if encoded is None else lambda text: push.in_base64(_base64(name, text)),
        )
        self.path = pushed.stdout.apply(lambda _: args["path"])
        self.register_outputs({"path": self.path})


def _base64(name: str, encoded: str) -> str:
    """Base64 that was not known before.

    Raises:
        ValueError: it is none.
    """
    return build("HostFile", name, Facts(FileBytes, {"binary_content": encoded})).binary_content


def put(
    name: str,
    target: Target,
    path: str,
    content: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    mode: str = "0644",
    owner: str = "root:root",
    check: str | None = None,
    apply: str | None = None,
    remove_before: str | None = None,
    remove_apply: str | None = None,
    unit: str | None = None,
    confirm_s: int | None = None,
    send: Callable[[str], str] = push.content,
    then: Sequence[Step] = (),
    before_removal: Sequence[Step] = (),
    confirms: tuple[str, pulumi.Input[str]] | None = None,
) -> remote.Command:
    """A file as one resource, so that a preview shows its lines once. `remove_apply` is `apply` unless given.

    `send` is `push.content` for texts of whole lines, `push.exact` for what others wrote, `push.in_base64`. What comes
    `then` runs in the same login, and what is undone `before_removal` in that of the removal. `confirms` are path and
    text of a file that was pushed with `confirm_s`, by a resource that this one depends on: its connection is a new
    one, and confirms that file first.
    """
    stack = stack_name()

    def commands(machine: str, sha256: str | None) -> str:
        file = push.Put(
            path,
            machine=machine,
            resource=name,
            stack=stack,
            adopt=target["member"].get("adopt", False),
            mode=mode,
            owner=owner,
            check=check,
            apply=apply,
            unit=unit,
            confirm_s=confirm_s,
        )
        first = [push.Confirm(confirms[0], sha256, machine=machine)] if confirms and sha256 else []
        return push.steps(*first, file, *(step(machine) for step in then)).render()

    sum_of = None if confirms is None else applied(confirms[1], lambda text: hashlib.sha256(text.encode()).hexdigest())
    return command(
        name,
        target,
        lambda machine: applied(sum_of, lambda sha256: commands(machine, sha256)),
        opts,
        delete=lambda machine: push.steps(
            *(step(machine) for step in before_removal),
            push.Remove(
                path, machine=machine, resource=name, stack=stack, before=remove_before, apply=remove_apply or apply
            ),
        ).render(),
        stdin=applied(content, send),
    )


@dataclass(frozen=True)
class FileToPut:
    """One of several files, as `put` takes it."""

    path: str
    content: pulumi.Input[str]
    _: KW_ONLY
    mode: str = "0644"
    owner: str = "root:root"
    check: str | None = None
    apply: str | None = None
    remove_apply: str | None = None
    unit: str | None = None
    send: Callable[[str], str] = push.content


def put_together(
    name: str,
    target: Target,
    files: Sequence[FileToPut],
    opts: pulumi.ResourceOptions,
    *,
    first: Sequence[Step] = (),
    then: Sequence[Step] = (),
    before_removal: Sequence[Step] = (),
) -> remote.Command:
    """Files that always travel together as one resource: all of them land and are active, or none.

    Only for what is known at preview and no secret, or all of it secret: one text that is not hides all others. An
    `apply` that several have runs once, and only where one of them has changed. They are removed in reverse order.
    """
    stack = stack_name()

    def commands(machine: str) -> str:
        together = push.Files(
            tuple(file.path for file in files),
            machine=machine,
            resource=name,
            stack=stack,
            adopt=target["member"].get("adopt", False),
        )
        return push.steps(*(step(machine) for step in first), together, *(step(machine) for step in then)).render()

    def removals(machine: str) -> str:
        return push.steps(
            *(step(machine) for step in before_removal),
            *(
                push.Remove(
                    file.path, machine=machine, resource=name, stack=stack, apply=file.remove_apply or file.apply
                )
                for file in reversed(files)
            ),
        ).render()

    def sent(contents: Sequence[str]) -> str:
        return push.together(
            (
                push.Put(
                    file.path,
                    machine="",
                    resource=name,
                    mode=file.mode,
                    owner=file.owner,
                    check=file.check,
                    apply=file.apply,
                    unit=file.unit,
                ),
                file.send(content),
            )
            for file, content in zip(files, contents, strict=True)
        )

    contents = [file.content for file in files]
    known = [content for content in contents if isinstance(content, str)]
    stdin = sent(known) if len(known) == len(contents) else pulumi.Output.all(*contents).apply(sent)
    return command(name, target, commands, opts, delete=removals, stdin=stdin)


def free(what: str, place: str, *known: str, adopt: bool) -> str:
    """Shell command that refuses a service of the host's own before anything of it changes, unless it is adopted.

    `what`, `place` and `known` are as in-force has them.
    """
    return "true" if adopt else push.in_force(f"{what}-free", shlex.join([place, *known]))


def script_file(name: str) -> FileToPut:
    """A host script of `fortress/scripts`, in its folder on the host."""
    return FileToPut(f"{push.LIBRARY}/{name}", text.script(name), mode="0755", check='sh -n "$1"')


def put_script(name: str, target: Target, script: str, opts: pulumi.ResourceOptions) -> remote.Command:
    """The same as a resource of its own."""
    one = script_file(script)
    return put(name, target, one.path, one.content, opts, mode=one.mode, check=one.check)


def program_file(program: str, tool: str) -> FileToPut:
    """One in Python, under the name of a tool."""
    check = f"python3 -I -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' {push.PUT_FILE}"
    return FileToPut(f"{push.LIBRARY}/{tool}", text.script(program), mode="0755", check=check)


def fragment_file(file: str, fragment: firewall.Fragment) -> FileToPut:
    """A component's part of the host's firewall, a file of /etc/nftables.d."""
    return FileToPut(
        f"{firewall.FOLDER}/{file}",
        firewall.render_fragment(fragment),
        check='nft -c -f "$1"',
        apply=firewall.APPLY,
    )


def put_fragment(
    name: str, target: Target, file: str, fragment: firewall.Fragment, opts: pulumi.ResourceOptions
) -> remote.Command:
    """The same as a resource of its own."""
    one = fragment_file(file, fragment)
    return put(name, target, one.path, one.content, opts, check=one.check, apply=one.apply)
