#!/bin/sh
# Writes the preview of stack $STACK for a forge to a file: preview.sh github|gitlab|forgejo FILE
# Ends as `fortress preview` does. Whatever the status, FILE is there where it has something to say, and only there.
# Run it from the repository's root; of Python it needs what requirements.txt names.
set -eu
rm -f "$2"

# The program wants an SSH agent, or a key in settings, before it states anything. A preview contacts no host, so the
# key here is new, and opens none.
work=$(mktemp -d)
eval "$(ssh-agent -s)" >/dev/null
trap 'ssh-agent -k >/dev/null; rm -rf "$work"' EXIT INT TERM
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ssh-add -q "$work/key"

# As the `fortress` command does, without building and installing it here.
python3 -c 'from fortress.cli.start import main; main()' preview --stack "$STACK" --forge "$1" --output "$2"
