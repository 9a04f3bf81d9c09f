#!/usr/bin/env bash
# Fits a Linux host to a number of MQTT connections: kernel values, limits, a drop-in of the systemd unit, interrupts.
# Only `apply` and `revert` write. docs/host-tuning.md says why each value is what it is.
set -euo pipefail
export LC_ALL=C

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/host/lib/knobs.sh
source "$HERE/lib/knobs.sh"
# shellcheck source=scripts/host/lib/cores.sh
source "$HERE/lib/cores.sh"
# shellcheck source=scripts/host/lib/wanted.sh
source "$HERE/lib/wanted.sh"
# shellcheck source=scripts/host/lib/persist.sh
source "$HERE/lib/persist.sh"
# shellcheck source=scripts/host/lib/state.sh
source "$HERE/lib/state.sh"
# shellcheck source=scripts/host/lib/report.sh
source "$HERE/lib/report.sh"

usage() {
    cat <<'TEXT'
tune.sh check|print|apply|revert --connections N [options]

  check    what is and what should be; exit code 1 when something is missing
  print    what apply would write and set, and the docker run line; changes nothing
  apply    saves what is there, writes files below /etc and sets the values
  revert   restores what the first apply found (takes no --connections)

  --connections N       connections to be open at once: 250000, 250k or 1M
  --client              clients run on this host too, alone or beside the broker (a load generator)
  --user NAME           the user whose limits are raised (default: ringmq)
  --shard-cores LIST    the cores of the shards, such as 2-15; pins the systemd unit to them
  --irq leave|away|onto interrupts of network devices: as they are (default), away from the shard cores, or onto them
  --device NAME         only this network device (default: every device with hardware behind it)
  --root DIR            work on DIR/proc, DIR/sys, DIR/etc and DIR/var instead of this host

Exit codes: 0 done or nothing missing, 1 something missing or not applied, 2 wrong command line.
TEXT
}

# die CODE TEXT: the one way out on an error. TEXT names the place and the remedy.
die() {
    printf 'tune.sh: %s\n' "$2" >&2
    exit "$1"
}

# value_of OPTION REST…: the word after an option.
value_of() {
    [[ $# -ge 2 && $2 != --* ]] || die 2 "$1 needs a value; see tune.sh --help"
    printf '%s' "$2"
}

# count_of TEXT: 250000, 250k or 1M as a number of connections.
count_of() {
    local digits=$1 factor=1
    case $digits in
        *[kK]) factor=1000 digits=${digits%?} ;;
        *[mM]) factor=1000000 digits=${digits%?} ;;
    esac
    if [[ ! $digits =~ ^[1-9][0-9]{0,8}$ ]] || ((digits * factor > 100000000)); then
        die 2 "--connections $1: not a number from 1 to 100M; write 250000, 250k or 1M"
    fi
    printf '%s' $((digits * factor))
}

# read_arguments WORD…: sets the variables below from the command line.
COMMAND='' ROOT='' CONNECTIONS='' CLIENT=no SERVICE_USER=ringmq SHARD_CORES='' IRQ=leave DEVICE=''
read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            check | print | apply | revert)
                [[ -z $COMMAND ]] || die 2 "$1 after $COMMAND: give one command"
                COMMAND=$1
                ;;
            --client) CLIENT=yes ;;
            --connections)
                CONNECTIONS=$(value_of "$@")
                CONNECTIONS=$(count_of "$CONNECTIONS")
                shift
                ;;
            --user)
                SERVICE_USER=$(value_of "$@")
                shift
                ;;
            --shard-cores)
                SHARD_CORES=$(value_of "$@")
                shift
                ;;
            --irq)
                IRQ=$(value_of "$@")
                shift
                ;;
            --device)
                DEVICE=$(value_of "$@")
                shift
                ;;
            --root)
                ROOT=$(value_of "$@")
                shift
                ;;
            --help | -h | help) usage && exit 0 ;;
            *) die 2 "$1: neither a command nor an option; see tune.sh --help" ;;
        esac
        shift
    done
}

# check_arguments: refuses what does not go together.
check_arguments() {
    [[ -n $COMMAND ]] || die 2 "no command; one of check, print, apply, revert is needed"
    [[ $COMMAND == revert || -n $CONNECTIONS ]] ||
        die 2 "--connections is missing; say how many are to be open at once, such as --connections 100k"
    [[ $SERVICE_USER =~ ^[a-z_][a-z0-9_-]{0,31}$ ]] || die 2 "--user $SERVICE_USER: not a user name"
    [[ $IRQ == leave || $IRQ == away || $IRQ == onto ]] || die 2 "--irq $IRQ: one of leave, away, onto"
    [[ $IRQ == leave || -n $SHARD_CORES ]] || die 2 "--irq $IRQ needs --shard-cores, such as --shard-cores 2-15"
    if [[ -n $ROOT ]]; then
        [[ -d $ROOT ]] || die 2 "--root $ROOT: no such directory"
        ROOT=$(cd -- "$ROOT" && pwd)
        [[ $ROOT != / ]] || ROOT=''
    fi
    if [[ $COMMAND == apply || $COMMAND == revert ]] && [[ -z $ROOT && $(id -u) != 0 ]]; then
        die 1 "$COMMAND writes below /etc and /proc/sys; run it as root, or look first with print"
    fi
}

main() {
    if [[ $# -eq 0 ]]; then
        usage >&2
        exit 2
    fi
    read_arguments "$@"
    check_arguments
    if [[ $COMMAND == revert ]]; then
        revert
        return
    fi
    collect_wanted
    case $COMMAND in
        check) check ;;
        print) print_plan ;;
        apply) apply ;;
    esac
}

main "$@"
