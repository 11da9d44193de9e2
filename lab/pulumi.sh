#!/bin/sh
# The engine on a stack of the lab, from the operator's namespace: lab/pulumi.sh up, lab/pulumi.sh preview --diff, …
# LAB_STACK names another stack than `lab`: LAB_STACK=oslo is the stack of production, on stand-ins for its clouds.
# LAB_PROJECT names another project folder than this one, for tests that change its settings.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
project=${LAB_PROJECT:-$here}
stack=${LAB_STACK:-lab}
plugins=$("$here/lab/plugin.sh" "$project/Pulumi.$stack.yaml")
[ -z "$plugins" ] || export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PATH="$here/.venv/bin${plugins:+:$plugins}:$PATH" VIRTUAL_ENV="$here/.venv"
export PULUMI_SKIP_UPDATE_CHECK=true
cd "$here"
# shellcheck disable=SC2016 # the inner shell expands it
exec python -m lab run -- sh -euc '
    cd "$1"; stack=$2; shift 2
    pulumi stack --stack "$stack" >/dev/null 2>&1 || pulumi stack init "$stack" --no-select
    command=$1; shift
    exec pulumi "$command" --stack "$stack" "$@"
' pulumi "$project" "$stack" "$@"
