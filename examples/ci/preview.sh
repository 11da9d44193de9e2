#!/bin/sh
# Writes the preview of stack $STACK for a forge to a file: preview.sh github|gitlab|forgejo FILE
# Ends as `pulumi preview` does; FILE is there whenever there is something to say.
set -eu

# The program wants an SSH agent, or a key in settings, before it states anything. A preview contacts no host, so the
# key here is new, and opens none.
work=$(mktemp -d)
eval "$(ssh-agent -s)" >/dev/null
trap 'ssh-agent -k >/dev/null; rm -rf "$work"' EXIT INT TERM
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ssh-add -q "$work/key"

fortress preview --stack "$STACK" --forge "$1" --output "$2"
