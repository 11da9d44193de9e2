#!/bin/sh
# The engine on stack `lab`, from the operator's namespace: lab/pulumi.sh up, lab/pulumi.sh preview --diff, …
# LAB_PROJECT names another project folder than this one, for tests that change its settings.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
project=${LAB_PROJECT:-$here}
plugin=$("$here/lab/plugin.sh")
[ -z "$plugin" ] || export PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PATH="$here/.venv/bin${plugin:+:$plugin}:$PATH" VIRTUAL_ENV="$here/.venv"
export PULUMI_SKIP_UPDATE_CHECK=true
cd "$here"
# shellcheck disable=SC2016 # the inner shell expands it
exec python -m lab run -- sh -euc '
    cd "$1"; shift
    pulumi stack --stack lab >/dev/null 2>&1 || pulumi stack init lab --no-select
    command=$1; shift
    exec pulumi "$command" --stack lab "$@"
' pulumi "$project" "$@"
