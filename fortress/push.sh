#!/bin/sh
# How a file lands on a host: whole, checked and active, or not at all. Installed as /usr/local/sbin/fortress-push.
#
# put reads the text (stdin, ended by the line $END) before it takes the host's lock; writes it beside PATH, as
# .NAME.fortress-new, which no include pattern takes (nor a checker that goes by the ending: such a --check copies it);
# runs --check; keeps the file that stands at PATH; renames; runs --apply; watches --unit; and puts the old file back
# when one of these two fails. Each step may be the last before a power cut: PATH is always the whole old or the whole
# new file; `old` (below) is written before the rename and removed after success, `applied` the other way round; so a
# repeat of the same put does the rest.
#
# files does the same with several files at once: all of them are the new ones afterwards, or all the old ones. While
# they change places, `together` (below) names their records; a run that finds it takes all of them back first. What it
# put before and was not sent this time, by the name of --resource, it removes.
#
# --confirm arms a revert before --apply runs; `confirm`, in a new connection, ends it. Whether a file is unconfirmed is
# said by the marker `confirm` alone: a timer only starts `revert`, and timers do not survive a boot. So every run of
# this script first takes back what is past its time or was left unconfirmed by an earlier boot, and a unit does so at
# boot, before the firewall is loaded.
#
# Behind its last line the file has the host scripts, each below a line "# fortress-push: tool NAME": `tools` puts them
# into their folder.
#
# State, for root's eyes only: /var/lib/fortress/
#   files/PATH with %2F for each slash/
#     path              PATH
#     original          what stood there before the first put, with mode and owner; original.none: nothing did.
#                       Written last and deleted first: a folder without it is no record.
#     old               what stood there before a put that has not ended well yet or is unconfirmed; old.none: nothing
#     applied           SHA256 MODE OWNER:GROUP of the file that was put and is active
#     again             the next put is to apply the file though it is active: `again` asks for it
#     first             no put of this file has succeeded yet
#     put               unit, seconds and --apply of the last put, for the revert
#     confirm           this file is unconfirmed: boot id, end in seconds of uptime, timer
#     unconfirmed       copy of a file put with --confirm; without `confirm` beside it, it was taken back at its mtime
#     by                NAME of --resource in the last put
#     stack             PROJECT/STACK of --stack in the last put
#   together            names of the records whose files are changing places just now, a line each
#   dirs/               a mark for each folder that put made
#   output              what the last command said; output.packages: what apt did
#   part.*              what is being written; of no use to anyone but its writer
set -u
umask 077
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
trap '' HUP PIPE # a connection that goes away must not end the work half-way

SELF=/usr/local/sbin/fortress-push
LIBRARY=/usr/local/lib/fortress
STATE=/var/lib/fortress
output=$STATE/output
LOCK=/run/fortress-push.lock
BOOT_UNIT=/etc/systemd/system/fortress-push-revert.service
BOOT_LINK=/etc/systemd/system/sysinit.target.wants/fortress-push-revert.service
END='# fortress-push: end of file'
OPEN_END='# fortress-push: end of file, whose last line has no end'
BASE64_END='# fortress-push: end of file in base64'
FILES_END='# fortress-push: end of files'
LIMIT=300 # seconds, for the lock and for each command of the caller
GRACE=30 # seconds after a revert in which a connection counts as one that the new file kept out
NL='
'

usage() {
    cat <<'USAGE'
usage: fortress-push put PATH MODE OWNER:GROUP [--machine ID] [--resource NAME] [--stack NAME] [--adopt yes]
                         [--check CMD] [--apply CMD] [--unit UNIT] [--confirm SECONDS]
       fortress-push files PATH... [--machine ID] [--resource NAME] [--stack NAME] [--adopt yes]
       fortress-push remove PATH [--machine ID] [--resource NAME] [--stack NAME] [--before CMD] [--apply CMD]
       fortress-push confirm PATH SHA256 [--machine ID]
       fortress-push packages [--machine ID] PACKAGE...
       fortress-push mine [--stack NAME] [--adopt yes]
       fortress-push tools
       fortress-push uninstall [--machine ID] [--stack NAME]
       fortress-push records
       fortress-push again
put takes the text on stdin, ended by the line "# fortress-push: end of file". A file without a line feed at its end is
sent with one, ended by "# fortress-push: end of file, whose last line has no end"; one that is no text is sent in base64,
ended by "# fortress-push: end of file in base64". put answers by a line that no other put answers by: whoever waits for
its answer waits for each put.
files takes several on stdin, all of which land and are active, or none. Each is a line "# fortress-push: file MODE
OWNER:GROUP PATH", if need be lines "# fortress-push: check CMD", "… apply CMD" and "… unit UNIT", then the text and its
end as put has them; a line of a text that begins with "# fortress-push: " has "# fortress-push: = " in front. The last
line is "# fortress-push: end of files". An --apply that several have runs once. What the same --resource has put before
and is not among them is removed.
CMD is run by sh; "$1" is the file to check, or PATH in --apply and --before, which runs while the file stands. --machine has no effect on the host. A file that
another resource has put since is not removed: when a resource is renamed, the new one puts before the old one removes.
A file that another stack has put is neither put, unless by --adopt, nor removed; uninstall leaves this script for it.
mine fails, unless by --adopt, where another stack has put /etc/nftables.conf: the host is its.
tools puts the host scripts that came with this one into their folder, and uninstall takes them away.
records only reads: a line a file that was put, of six fields with a tab between them, each "-" where there is nothing:
  PATH
  SHA256,MODE,OWNER:GROUP   of the file that was put and is active; none where its last push did not end
  MARKS                     which of first, old, old.none, confirm and again its record has, with commas
  UNIT                      that its last put watched
  SECONDS                   since 1970 when its last push ended
  NAME                      of --resource in its last put
again takes paths on stdin, a line each: their next put is to apply them though they are active. Others are passed over.
USAGE
}

# --- what is said -----------------------------------------------------------------------------------------------------

tell() { printf 'fortress-push: %s: %s: %s: %s\n' "$host" "$subject" "$1" "$2" >&2; } # STEP MESSAGE

fail() { # STEP MESSAGE
    tell "$1" "$2"
    for part in $parts; do
        turn_to "$part"
        rm -f -- "$candidate" "$STATE/part.text" && tidy_dirs
    done
    [ -z "$candidate" ] || { rm -f -- "$candidate" && tidy_dirs; }
    exit 1
}

misuse() { # MESSAGE
    printf 'fortress-push: %s (see fortress-push --help)\n' "$1" >&2
    exit 2
}

must() { # STEP COMMAND...: a command of ours, whose failure ends the run
    doing=$1
    shift
    complaint=$("$@" 2>&1) || fail "$doing" "$complaint"
}

run() { # CMD FILE: a command of the caller's. It speaks to a file: a pipe would wait for daemons that it starts
    : >"$output"
    [ -n "$1" ] || return 0
    (umask 022 && exec timeout -k 10 "$limit" sh -c "$1" fortress-push "$2") \
        >"$output" 2>&1 </dev/null 3>&- 5>&- 9>&- && return
    code=$?
    [ $code -ne 124 ] || printf 'no end within %s s\n' "$limit" >>"$output"
    [ -s "$output" ] || printf 'exit status %s with no output\n' $code >"$output"
    return 1
}

said() { # the last lines of it, with PATH where it named the candidate
    tail -n 10 "$output" | sed -e 's,/\.\([^/]*\)\.fortress-new,/\1,g' -e '2,$s/^/  /'
}

# --- the record of a file ---------------------------------------------------------------------------------------------

key() { printf '%s\n' "$1" | sed -e 's/%/%25/g' -e 's,/,%2F,g'; }

about() { # PATH NAME-OF-ITS-RECORD: what the functions below work on
    path=$1 record=$STATE/files/$2 candidate=${1%/*}/.${1##*/}.fortress-new
}

facts() { # FILE -> SHA256 MODE OWNER:GROUP
    sum=$(sha256sum <"$1") && printf '%s %s\n' "${sum%% *}" "$(stat -c '%04a %U:%G' -- "$1")"
}

recall() { { IFS='' read -r recalled <"$record/$1"; } 2>/dev/null && printf '%s\n' "$recalled"; } # NAME
recall_put() { { read -r unit && read -r seconds && apply=$(cat); } <"$record/put"; }

save() { # NAME TEXT
    printf '%s\n' "$2" >"$STATE/part.record" || fail record "cannot write in $STATE"
    must record sync "$STATE/part.record"
    must record mv -fT -- "$STATE/part.record" "$record/$1"
}

store() { # FILE NAME: a copy of FILE, with its mode and owner, in the record
    must record cp -p --remove-destination -- "$1" "$STATE/part.record"
    must record sync "$STATE/part.record"
    must record mv -fT -- "$STATE/part.record" "$record/$2"
}

recorded() { [ -e "$record/$1" ] || [ -e "$record/$1.none" ]; } # original|old

keep() { # original|old: what stands at PATH now
    if [ -e "$path" ]; then store "$path" "$1"; else must record touch "$record/$1.none"; fi
    must record sync "$record"
}

give_back() { # original|old
    if [ -e "$record/$1" ]; then
        make_dirs "${path%/*}"
        must restore cp -p --remove-destination -- "$record/$1" "$candidate"
        land
    elif [ -e "$record/$1.none" ]; then
        must restore rm -f -- "$path"
    fi
}

forget() { rm -f -- "$record/original" "$record/original.none" && rm -rf -- "$record"; }

make_dirs() { # FOLDER, and those above it
    if [ -z "$1" ] || [ -d "$1" ]; then return; fi
    make_dirs "${1%/*}"
    must folder touch "$STATE/dirs/$(key "$1")"
    must folder mkdir -m 0755 -- "$1"
}

tidy_dirs() { # takes away the folders above PATH that put made, as far as they are empty
    folder=${path%/*}
    while [ -e "$STATE/dirs/$(key "$folder")" ] && { [ ! -d "$folder" ] || rmdir -- "$folder" 2>/dev/null; }; do
        rm -f -- "$STATE/dirs/$(key "$folder")"
        folder=${folder%/*}
    done
}

# --- from the text to the active file ---------------------------------------------------------------------------------

receive() { # stdin -> descriptor 3, a file without a name: a cut leaves nothing
    exec 3<>"$STATE/part.$$"
    rm -f -- "$STATE/part.$$"
    cat >&3 || fail receive "cannot store the text in $STATE"
    if [ "$verb" = files ]; then
        ends_in "$FILES_END" || fail receive "the text does not end in the line \"$FILES_END\": the connection was cut; nothing was changed"
        must receive truncate -s "-$((${#FILES_END} + 1))" /dev/fd/3
    elif ends_in "$END"; then
        must receive truncate -s "-$((${#END} + 1))" /dev/fd/3
    elif ends_in "$OPEN_END"; then
        must receive truncate -s "-$((${#OPEN_END} + 2))" /dev/fd/3
    elif ends_in "$BASE64_END"; then
        must receive truncate -s "-$((${#BASE64_END} + 1))" /dev/fd/3
        exec 4<>"$STATE/part.$$"
        rm -f -- "$STATE/part.$$"
        base64 -d /dev/fd/3 >&4 || fail receive 'what was sent is no base64'
        exec 3>&- 3<>/dev/fd/4 4>&-
    else
        fail receive "the text does not end in the line \"$END\": the connection was cut; nothing was changed"
    fi
}

ends_in() { # LINE: whether it is the last one of what was received, and the whole of it
    tail=$(tail -c $((${#1} + 2)) /dev/fd/3 && echo .)
    [ "$tail" = "$NL$1$NL." ] ||
        { [ "$tail" = "$1$NL." ] && [ "$(stat -L -c %s /dev/fd/3)" -eq $((${#1} + 1)) ]; }
}

take_apart() { # what was received: parts, one a file, each as FROM:TO by the numbers of its lines
    sent=''
    # shellcheck disable=SC2046  # numbers
    set -- $(sed -n "/^$END/=" /dev/fd/3)
    # shellcheck disable=SC2013  # words are meant
    for from in $(sed -n '/^# fortress-push: file /=' /dev/fd/3); do
        turn_to "$from:${1:-0}"
        check_arguments
        parts="$parts $from:${1:-0}" sent="$sent$NL$path"
        shift $(($# > 0))
    done
    [ "$sent" = "$paths" ] || misuse 'the files that were sent are not those that were named'
}

turn_to() { # FROM:TO: the part of a file
    from=${1%:*} to=${1#*:}
    head=$(sed -n "${from}p" /dev/fd/3)
    head=${head#'# fortress-push: file '}
    mode=${head%% *} head=${head#* }
    owner=${head%% *} path=${head#* }
    check=$(of_part check) apply=$(of_part apply) unit=$(of_part unit)
    about "$path" "$(key "$path")"
    subject=$path
}

of_part() { sed -n -e "$from,$to{s/^# fortress-push: $1 //p}" -e "${to}q" /dev/fd/3; } # check|apply|unit

extract() { # the text of the part, to part.text
    sed -n -e "$from,$to{/^# fortress-push: = /{s///p;d};/^# fortress-push: /d;p}" -e "${to}q" /dev/fd/3 \
        >"$STATE/part.text" || fail receive "cannot store the text in $STATE"
    case $(sed -n "${to}p" /dev/fd/3) in
        "$OPEN_END") must receive truncate -s -1 "$STATE/part.text" ;;
        "$BASE64_END")
            base64 -d "$STATE/part.text" >"$STATE/part.bytes" || fail receive 'what was sent is no base64'
            must receive mv -fT -- "$STATE/part.bytes" "$STATE/part.text"
            ;;
    esac
}

land() { # the candidate takes PATH's place
    must rename sync "$candidate"
    must rename mv -fT -- "$candidate" "$path"
    must rename sync "${path%/*}/"
}

unit_state() { systemctl show -p ActiveState -p InvocationID -- "$unit" 2>&1; }

unit_lives() { # within 10 s, and for a second without another start; half of it where --apply did not start it
    seen='' steady=0 polls=0
    while [ $polls -lt 40 ]; do
        now=$(unit_state) enough=4
        if [ "$now" = "$seen" ]; then steady=$((steady + 1)); else steady=0; fi
        [ "$now" != "$before_apply" ] || enough=2
        seen=$now polls=$((polls + 1))
        if [ $steady -ge $enough ]; then
            case "$NL$now$NL" in
                *"${NL}ActiveState=active$NL"*) return 0 ;;
                *"${NL}ActiveState=failed$NL"*) break ;;
            esac
        fi
        sleep 0.25
    done
    {
        printf '%s\n' "$now" | sed -n 's/^ActiveState=/did not stay active; now it is /p'
        journal "$unit"
    } >"$output"
    return 1
}

journal() { # UNIT: its last lines since $began. Of its words, systemd's about its end take three or four
    journalctl -u "$1" --since "-$(($(uptime) - began + 1))s" -n 8 --no-pager --quiet -o cat 2>&1
}

explain() { # systemctl tells where to look for the reason; what stands there is said in place of that
    units=$(sed -n 's/^See "systemctl status \([^" ]*\)".*/\1/p' "$output")
    [ -n "$units" ] || return 0
    sed -i '/^See "systemctl status /d' "$output"
    for each in $units; do journal "$each" >>"$output"; done
}

activate() {
    step=apply began=$(uptime) before_apply=''
    [ -z "$unit" ] || before_apply=$(unit_state)
    run "$apply" "$path" || { explain; return 1; }
    step="unit $unit"
    [ -z "$unit" ] || unit_lives
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }
uptime() { read -r up _ </proc/uptime && printf '%s\n' "${up%.*}"; } # whole seconds

arm() { # the revert of the candidate: a timer of systemd, or a sleeping process where there is none
    timer=fortress-push-revert-$$
    boot_unit || fail arm "cannot write $BOOT_UNIT"
    store "$candidate" unconfirmed
    save confirm "$(boot_id) $(($(uptime) + seconds)) $timer"
    must arm sync "$record"
    systemd-run --quiet --collect --unit="$timer" --on-active="$seconds" --timer-property=AccuracySec=100ms \
        "$SELF" revert >/dev/null 2>&1 </dev/null 9>&- && return
    # shellcheck disable=SC2016  # for the inner shell
    setsid sh -c 'sleep "$1"; exec "$2" revert' sh "$seconds" "$SELF" >/dev/null 2>&1 </dev/null 9>&- &
}

boot_unit() {
    if [ -e "$BOOT_LINK" ] && grep -q "$STATE/together" "$BOOT_UNIT"; then return; fi
    cat >"$BOOT_UNIT" <<UNIT
[Unit]
Description=Take back files that fortress-push put in place and nobody confirmed before the reboot
DefaultDependencies=no
ConditionPathExistsGlob=|$STATE/files/*/confirm
ConditionPathExists=|$STATE/together
After=local-fs.target
Before=sysinit.target network-pre.target nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$SELF revert --boot
UNIT
    chmod 0644 "$BOOT_UNIT" && install -d -m 0755 "${BOOT_LINK%/*}" && ln -sf "$BOOT_UNIT" "$BOOT_LINK"
}

settle() { # there is nothing to go back to any more. `old` goes first: a marker without it means nothing
    rm -f -- "$record/old" "$record/old.none"
    [ -e "$record/confirm" ] || return 0
    read -r _ _ timer <"$record/confirm"
    systemctl stop "$timer.timer" >/dev/null 2>&1
    rm -f -- "$record/confirm"
}

take_back() { # the old file stands again, and is active again unless $outcome says otherwise
    outcome='the old file is back and active' failure='the old file is back'
    if [ ! -e "$record/old" ]; then
        outcome='there was no file before; the new one was removed' failure=$outcome unit=''
    fi
    give_back old
    if activate; then
        applied=$(facts "$path" 2>/dev/null)
    else
        outcome="$failure, but $step failed then too: $(said)" applied=''
    fi
    if [ -e "$record/first" ]; then
        forget
        tidy_dirs
    else
        settle
        [ -z "$applied" ] || save applied "$applied"
    fi
}

prepare() { # the record of a file that is about to become another
    rm -f -- "$record/applied" "$record/again"
    recorded old || keep old
    save put "$unit$NL$seconds$NL$apply"
}

swap() { # the candidate, of facts $wanted, becomes the active file; or else the old one does again and the run fails
    prepare
    if [ -n "$seconds" ]; then
        arm
        [ "$seconds" -gt "$limit" ] || limit=$seconds
    fi
    land
    if ! activate; then
        tell "$step" "$(said)"
        failed=$step
        take_back
        fail "$failed" "$outcome"
    fi
    [ -n "$seconds" ] || { settle && rm -f -- "$record/unconfirmed"; }
    rm -f -- "$record/first"
    save applied "$wanted"
}

each_together() { # DO: for each file that `together` names and that still has a record
    while IFS='' read -r name <&5; do
        record=$STATE/files/$name
        [ -e "$record/path" ] || continue
        about "$(recall path)" "$name"
        subject=$path
        "$1" || return 1
    done 5<<NAMES
$together
NAMES
}

# shellcheck disable=SC2317  # called by each_together
activate_once() { # unless that was done for another file
    recall_put
    [ -z "$back" ] || [ -e "$record/old" ] || unit=''
    case $did in *"$NL$unit $apply$NL"*) return 0 ;; esac
    did="$did$NL$unit $apply$NL"
    activate && return
    [ -n "$back" ] || return 1
    failure=" but $step failed then too: $(said)"
}

# shellcheck disable=SC2317  # called by each_together
give_back_old() {
    [ ! -e "$record/old" ] || back='the old files are back'
    give_back old
}

# shellcheck disable=SC2317  # called by each_together
end_take_back() {
    if [ -e "$record/first" ]; then
        forget
        tidy_dirs
    else
        settle
        [ -n "$failure" ] || save applied "$(facts "$path")"
    fi
}

take_back_together() { # the old files stand again, and are active again unless $outcome says otherwise
    together=$(cat "$STATE/together") did='' failure='' back='there were no files before; the new ones were removed'
    each_together give_back_old
    # At boot services read their files as they start; the next run does what is left, as `applied` is gone.
    [ -z "$at_boot" ] || { each_together settle && rm -f -- "$STATE/together" && return; }
    each_together activate_once
    outcome=$back${failure:+,$failure}
    [ "$outcome" != 'the old files are back' ] || outcome='the old files are back and active'
    each_together end_take_back
    must record rm -f -- "$STATE/together"
}

# --- the verbs --------------------------------------------------------------------------------------------------------

put() {
    refuse_target
    refuse_foreign
    look_at /dev/fd/3
    if [ -n "$stands" ]; then
        claim
        return
    fi
    offer /dev/fd/3
    exec 3>&-
    remember_original
    swap
    claim
}

refuse_target() {
    if [ -L "$path" ]; then fail target 'is a symbolic link'; fi
    if [ -e "$path" ] && [ ! -f "$path" ]; then fail target 'is a folder or something else that is not a file'; fi
}

look_at() { # TEXT: sets $wanted, its facts, and $stands, whether such a file is active at PATH
    sum=$(sha256sum "$1") stands=''
    wanted="${sum%% *} $(printf '%04o' "0$mode") $owner"
    [ ! -e "$record/confirm" ] && [ ! -e "$record/again" ] && [ "$(recall applied)" = "$wanted" ] &&
        [ -e "$path" ] && [ "$(facts "$path")" = "$wanted" ] && stands=yes
}

offer() { # TEXT: the candidate, complete and checked
    make_dirs "${path%/*}"
    must write cp --remove-destination "$1" "$candidate" # a file of its own, of mode 0600
    must owner chown -- "$owner" "$candidate"
    must mode chmod -- "$mode" "$candidate"
    run "$check" "$candidate" || fail check "$(said)$NL  nothing was changed"
}

remember_original() {
    recorded original && return
    must record rm -rf -- "$record"
    must record mkdir -- "$record"
    save path "$path"
    must record touch "$record/first"
    keep original
}

files() {
    changed='' together='' did='' back=''
    take_apart
    for part in $parts; do
        turn_to "$part"
        refuse_target
        refuse_foreign
        extract
        look_at "$STATE/part.text"
        rm -f -- "$candidate" # left by a run that was killed
        [ -z "$stands" ] || continue
        changed="$changed $part"
        offer "$STATE/part.text"
    done
    [ -z "$changed" ] || change_together
    for part in $parts; do
        turn_to "$part"
        claim
    done
    parts=''
    rm -f -- "$STATE"/part.*
    drop_others
}

change_together() { # the candidates of the parts $changed become active, or the run fails with the old files
    for part in $changed; do
        turn_to "$part"
        remember_original
        prepare
        together="$together${together:+$NL}${record##*/}"
    done
    boot_unit || fail arm "cannot write $BOOT_UNIT"
    printf '%s\n' "$together" >"$STATE/part.together" || fail record "cannot write in $STATE"
    must record sync "$STATE/part.together"
    must record mv -fT -- "$STATE/part.together" "$STATE/together"
    must record sync "$STATE"
    for part in $changed; do
        turn_to "$part"
        land
    done
    if ! each_together activate_once; then
        tell "$step" "$(said)"
        failed=$step culprit=$path
        take_back_together
        subject=$culprit
        fail "$failed" "$outcome"
    fi
    must record rm -f -- "$STATE/together"
    must record sync "$STATE"
    for part in $changed; do
        turn_to "$part"
        extract
        look_at "$STATE/part.text"
        settle
        rm -f -- "$record/unconfirmed" "$record/first"
        save applied "$wanted"
    done
}

drop_others() { # what this resource has put and did not send any more
    [ -n "$resource" ] || return 0
    for record in "$STATE"/files/*; do
        if [ "$(recall by)" != "$resource" ] || foreign; then continue; fi
        about "$(recall path)" "${record##*/}"
        case "$paths$NL" in *"$NL$path$NL"*) continue ;; esac
        subject=$path
        recall_put
        remove
    done
}

receipt() { read -r once </proc/sys/kernel/random/uuid && printf 'put %s\n' "$once"; }

refuse_foreign() {
    if foreign && [ -z "$adopt" ]; then
        fail stack "$(recall path) belongs to stack $(recall stack), which put it as $(recall by), and not to $stack.
  Nothing was changed. Use another host or, if that stack is to lose this one, set adopt: true for the host"
    fi
}

foreign() { [ -n "$stack" ] && [ -n "$(recall stack)" ] && [ "$(recall stack)" != "$stack" ]; }

claim() {
    [ "$(recall by)" = "$resource" ] || save by "$resource"
    [ "$(recall stack)" = "$stack" ] || save stack "$stack"
}

remove() {
    if [ -d "$path" ] && [ ! -L "$path" ]; then fail target 'is a folder'; fi
    if [ -n "$resource" ] && [ "$(recall by)" != "$resource" ] && [ -n "$(recall by)" ]; then return; fi
    if foreign; then return; fi
    if recorded original; then
        run "$before" "$path" || fail before "$(said)$NL  nothing was changed; run this again"
        rm -f -- "$record/applied"
        give_back original
        run "$apply" "$path" || fail apply "$(said)$NL  the file is removed; run this again to complete the removal"
        settle
    fi
    forget
    tidy_dirs
}

confirm() {
    recorded original || fail confirm 'this file was never put here'
    standing=$(facts "$path" 2>/dev/null) wanted=$(facts "$record/unconfirmed" 2>/dev/null)
    [ "${wanted%% *}" = "$sha" ] || wanted=''
    if [ "${standing%% *}" = "$sha" ] && [ "$standing" = "$(recall applied)" ] &&
        [ "$standing" = "${wanted:-$standing}" ]; then
        settle
        rm -f -- "$record/unconfirmed"
        return
    fi
    [ -n "$wanted" ] || fail confirm "the file on the host is not the one to confirm; run \`pulumi up\` again"
    recall_put
    # A connection that comes right after waited for it, so the file did lock it out, and would again.
    [ -z "$(find "$record/unconfirmed" -newermt "$GRACE seconds ago")" ] ||
        fail confirm "the new file was reverted after $seconds s because no new connection came.
  The old one is in place. Fix the setting; if the connection was at fault, run \`pulumi up\` again in $GRACE s"
    must confirm cp -p --remove-destination -- "$record/unconfirmed" "$candidate"
    swap
    fail confirm "the new file was reverted after $seconds s because no new connection came.
  It is in place again for $seconds s: run \`pulumi up\` again to confirm it, or fix the setting"
}

again() {
    while IFS='' read -r path; do
        record=$STATE/files/$(key "$path")
        [ -e "$record/applied" ] || continue
        must again touch "$record/again"
        must again sync "$record"
    done <<PATHS
$paths
PATHS
}

take_back_expired() {
    for marker in "$STATE"/files/*/confirm; do
        [ -e "$marker" ] || continue
        read -r boot end _ <"$marker"
        if [ "$boot" = "$(boot_id)" ] && { [ -n "$at_boot" ] || [ "$(uptime)" -lt "$end" ]; }; then continue; fi
        ( # in a shell of its own: the caller's path and commands stay as they are
            record=${marker%/*}
            about "$(recall path)" "${record##*/}"
            subject=$path
            recall_put
            recorded old || { settle && exit; }
            # At boot services read the file as they start, so nothing is run; the next put does, as `applied` is gone.
            [ -z "$at_boot" ] || { give_back old && settle && exit; }
            take_back
            [ ! -e "$record/unconfirmed" ] || touch "$record/unconfirmed" # when it was taken back
            tell confirm "no new connection came in time: $outcome"
        )
    done
}

take_back_cut() { # what a run that was cut has left half-done
    [ -e "$STATE/together" ] || return 0
    ( # as above
        take_back_together
        [ -n "$at_boot" ] || tell together "an earlier push of several files was cut: $outcome"
    )
}

apt_get() { # speaks to `output`
    waited=0
    # Pattern-Only: a name that is not known is no regular expression. The timeout covers neither the lock on the lists
    # nor the one on downloads.
    until apt-get -qq -o "DPkg::Lock::Timeout=$LIMIT" -o APT::Cmd::Pattern-Only=true "$@" \
        >>"$output" 2>&1 </dev/null 9>&-; do
        tail -n 3 "$output" | grep -q '^E: Unable to lock directory' && [ "$waited" -lt "$LIMIT" ] || return 1
        sleep 5
        waited=$((waited + 5))
    done
}

install_packages() {
    # shellcheck disable=SC2086  # names that were checked
    apt_get install -y --no-install-recommends -o Dpkg::Options::=--force-confold $missing
}

packages() {
    missing=''
    for package in $packages; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # apt has locks of its own: from here on files land meanwhile.
    output=$STATE/output.packages
    exec 9>&-
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    : >"$output"
    umask 022
    install_packages || {
        dpkg --force-confold --configure -a >>"$output" 2>&1 </dev/null 9>&- # what a power cut left half-done
        { apt_get update && install_packages; } || fail install "$(said)$(held)"
    }
    rm -f -- "$output"
}

held() { # packages that apt may not install or change, if it speaks of such
    grep -q '[Hh]eld .*packages' "$output" || return 0
    # shellcheck disable=SC2046  # names of packages
    set -- $(dpkg-query -W -f '${db:Status-Want} ${Package}\n' 2>/dev/null | sed -n 's/^hold //p')
    [ $# -eq 0 ] || printf '%s  on hold on this host: %s. Release them: apt-mark unhold %s' "$NL" "$*" "$*"
}

records() { # without the lock: each file of a record is whole, and one that is being changed is told as it is found
    for record in "$STATE"/files/*; do
        path=$(recall path) || continue
        applied='' marks='' unit=''
        { read -r sum mode owner _ <"$record/applied"; } 2>/dev/null && [ -n "$owner" ] && applied=$sum,$mode,$owner
        for mark in first old old.none confirm again; do
            [ ! -e "$record/$mark" ] || marks=$marks,$mark
        done
        { IFS='' read -r unit <"$record/put"; } 2>/dev/null
        ended=$(stat -c %Y -- "$record/applied" 2>/dev/null)
        by=$(recall by)
        marks=${marks#,}
        printf '%s\t%s\t%s\t%s\t%s\t%s\n' \
            "$path" "${applied:--}" "${marks:--}" "${unit:--}" "${ended:--}" "${by:--}"
    done
}

mine() {
    record=$STATE/files/$(key /etc/nftables.conf) # the base of the firewall: the stack that put it has the host
    refuse_foreign
}

tool_names() { sed -n 's/^# fortress-push: tool //p' "$1"; } # FILE

tools() { # those behind this script, wherever it stands just now
    make_dirs "$LIBRARY"
    for name in $(tool_names "$0"); do
        about "$LIBRARY/$name" "$(key "$LIBRARY/$name")"
        sed -e "1,/^# fortress-push: tool $name\$/d" -e '/^# fortress-push: tool /,$d' -e "/^$END\$/d" "$0" >"$candidate" ||
            fail write "cannot write in $LIBRARY"
        must check sh -n "$candidate"
        must mode chmod 0755 "$candidate"
        land
        forget # an earlier version put them one by one
    done
}

uninstall() {
    left='' others=''
    for record in "$STATE"/files/*; do
        recorded original || continue
        if foreign; then others=yes; else left="$left$NL  $(recall path)"; fi
    done
    [ -z "$left" ] || fail uninstall "these files were put and not removed:$left"
    [ -z "$others" ] || return 0 # another stack goes on working with it
    for name in $(tool_names "$SELF"); do
        rm -f -- "$LIBRARY/$name"
    done
    path=$LIBRARY/tool
    tidy_dirs
    rm -rf -- "$STATE"
    rm -f -- "$BOOT_LINK" "$BOOT_UNIT" "$LOCK" "$SELF"
}

# --- arguments --------------------------------------------------------------------------------------------------------

check_arguments() {
    case "$verb $path" in
        packages*) [ -n "$packages" ] || misuse 'packages needs names' ;;
        'files ') [ -n "$paths" ] || misuse 'files needs paths' ;;
        mine* | tools* | uninstall* | revert* | again* | records*) ;;
        *[[:cntrl:]]*) misuse 'a path must not contain control characters' ;;
        *//* | */./* | */../* | */. | */.. | */) misuse "not a normalised path of a file: $path" ;;
        *" $STATE"/*) misuse "this folder belongs to fortress-push: $path" ;;
        *" "/*)
            name=$(key "$path")
            [ ${#name} -le 240 ] || misuse "this path is too long: $path"
            ;;
        *) misuse "not an absolute path: $path" ;;
    esac
    case $mode in '' | [0-7][0-7][0-7] | [0-7][0-7][0-7][0-7]) ;; *) misuse "not a mode: $mode" ;; esac
    case $owner in
        *:*:* | *[!A-Za-z0-9._:-]* | [0-9:-]* | *:[0-9-]* | *:) misuse "not OWNER:GROUP: $owner" ;;
        '' | *:*) ;;
        *) misuse "not OWNER:GROUP: $owner" ;;
    esac
    case "${#sha} $sha" in
        0* | 64*) case $sha in *[!0-9a-f]*) misuse "not a SHA-256: $sha" ;; esac ;;
        *) misuse "not a SHA-256: $sha" ;;
    esac
    case $unit in *[!A-Za-z0-9:_.@\\-]* | -*) misuse "not a unit: $unit" ;; esac
    case $seconds in *[!0-9]* | 0* | ?????*) misuse "not a number of seconds from 1 to 9999: $seconds" ;; esac
}

main() {
    path='' mode='' owner='' sha='' packages='' resource='' stack='' adopt=''
    check='' before='' apply='' unit='' seconds='' at_boot='' paths='' parts=''
    case "${1-} $#" in
        "put "[4-9] | "put "??) path=$2 mode=${3:--} owner=${4:--} words=4 ;;
        "confirm "[3-9]) path=$2 sha=${3:--} words=3 ;;
        "remove "[2-9] | "remove "??) path=$2 words=2 ;;
        "packages "* | "files "* | "mine "* | "tools "* | "uninstall "* | "revert "* | "again "* | "records "*) words=1 ;;
        "--help "*) usage && exit ;;
        "put "* | "confirm "* | "remove "*) misuse "$1 needs more arguments" ;;
        " "*) usage && exit 2 ;;
        *) misuse "unknown verb: $1" ;;
    esac
    verb=$1
    shift "$words"
    while [ $# -gt 0 ]; do
        case "$verb $1 $#" in
            "revert --boot "*) at_boot=yes && shift && continue ;;
            "$verb --"*" 1") misuse "$1 needs a value" ;;
        esac
        case "$verb $1" in
            "$verb --machine") shift ;;
            "files /"*) paths="$paths$NL$1" ;;
            "put --resource" | "files --resource" | "remove --resource") resource=$2 && shift ;;
            "put --stack" | "files --stack" | "remove --stack" | "mine --stack" | "uninstall --stack") stack=$2 && shift ;;
            "put --adopt" | "files --adopt" | "mine --adopt") adopt=$2 && shift ;;
            "put --check") check=$2 && shift ;;
            "remove --before") before=$2 && shift ;;
            "put --apply" | "remove --apply") apply=$2 && shift ;;
            "put --unit") unit=$2 && shift ;;
            "put --confirm") seconds=$2 && shift ;;
            "packages "[!a-z0-9]* | "packages "*[!a-z0-9+.-]* | "packages "*-) # foo- would remove foo
                misuse "not a package name: $1" ;;
            "packages "?*) packages="$packages $1" ;;
            *) misuse "$verb does not know $1" ;;
        esac
        shift
    done
    subject=${path:-$verb} candidate='' limit=$LIMIT
    read -r host </proc/sys/kernel/hostname
    check_arguments
    [ "$(id -u)" -eq 0 ] || fail arguments 'must be run as root (sudo)'
    [ "$verb" != records ] || { records; exit; }
    must state install -d -m 0700 "$STATE" "$STATE/files" "$STATE/dirs"
    case $verb in put | files) receive ;; esac
    [ "$verb" != again ] || paths=$(cat)
    exec 9>>"$LOCK"
    flock -w "$LIMIT" 9 || fail lock "another fortress-push has locked this host for $LIMIT s: $(cat "$LOCK")"
    printf 'process %s, %s %s\n' $$ "$verb" "$path" >"$LOCK"
    [ -z "$path" ] || about "$path" "$(key "$path")"
    rm -f -- "$STATE"/part.* ${candidate:+"$candidate"} # left by a run that was killed
    take_back_expired
    take_back_cut
    case $verb in
        put) put && receipt ;;
        files) files && receipt ;;
        remove) remove ;;
        confirm) confirm ;;
        packages) packages ;;
        mine) mine ;;
        tools) tools ;;
        uninstall) uninstall ;;
        again) again ;;
    esac
}

main "$@"
exit 0
