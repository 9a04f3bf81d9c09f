# shellcheck shell=bash
# What `check` and `print` say. Nothing is written here.

# Findings that have to be mended.
MISSING=0

ok() { printf 'ok    %s\n' "$1"; }
warn() { printf 'warn  %s\n' "$1"; }
fail() {
    MISSING=$((MISSING + 1))
    printf 'fail  %s\n' "$1"
}

check() {
    local path
    check_kernel
    for path in "${KNOBS[@]}"; do check_knob "$path"; done
    check_memory
    check_files
    [[ $CLIENT == no ]] || ok "client addresses: $CONNECTIONS connections from one host need $(addresses), $PORTS ports each"
    if ((MISSING > 0)); then
        printf '%s missing; tune.sh apply sets what it can, tune.sh print shows it first\n' "$MISSING"
        return 1
    fi
    printf 'nothing missing for %s connections\n' "$CONNECTIONS"
}

# addresses: how many addresses of its own a client host needs.
addresses() { printf '%s' $(((CONNECTIONS + PORTS - 1) / PORTS)); }

check_knob() {
    local path=$1 name have wish
    name=$(name_of "$path")
    if ! have=$(read_knob "$path"); then
        warn "$name: not here; the kernel lacks it or it belongs to the host's network namespace"
        return
    fi
    wish=$(phrase "${RELATION[$path]}" "${WANTED[$path]}")
    if suffices "${RELATION[$path]}" "$have" "${WANTED[$path]}"; then
        ok "$name: $have, should be $wish"
    else
        fail "$name: $have, should be $wish: ${REASON[$path]} [${SOURCE[$path]}]"
    fi
}

# check_kernel: the same bound as `ringmq check`, which also sets up a ring to see that it may.
check_kernel() {
    local release major minor
    release=$(read_knob /proc/sys/kernel/osrelease) || release=unknown
    if [[ $release =~ ^([0-9]+)\.([0-9]+) ]]; then
        major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]}
        if ((major > 5 || (major == 5 && minor >= 8))); then
            ok "kernel: Linux $release"
        else
            fail "kernel: Linux $release is older than 5.8; upgrade the kernel"
        fi
    else
        warn "kernel: $release is not a version; see that it is Linux 5.8 or later"
    fi
    # The switch came with Linux 6.6; where it is, so is io_uring.
    if [[ ! -e $ROOT/proc/sys/kernel/io_uring_disabled ]]; then
        if [[ ! -r $ROOT/proc/kallsyms ]]; then
            warn "io_uring: cannot tell without /proc/kallsyms; ringmq check tries it"
        elif grep -q 'sys_io_uring_setup$' "$ROOT/proc/kallsyms"; then
            ok "io_uring: built into the kernel"
        else
            fail "io_uring: not in this kernel; use one built with CONFIG_IO_URING"
        fi
    fi
    if grep -qs '^Seccomp:[[:space:]]*2' "$ROOT/proc/self/status"; then
        warn "seccomp: this shell is filtered, as in a container; ringmq check says whether io_uring is allowed"
    fi
}

check_memory() {
    if [[ $TCP_CAPPED == yes ]]; then
        warn "memory: four pages for each of $ENDS sockets are more than half of it; the limit of tcp_mem stays at $TCP_HIGH_PAGES pages, and a message to all may have to be sent in parts"
    fi
}

check_files() {
    local path name value other
    for path in "${KNOBS[@]}"; do
        read_knob "$path" >/dev/null || continue
        check_written "$path"
        [[ $path == /proc/sys/* ]] || continue
        name=$(name_of "$path")
        other=$(overriding_file "$name")
        [[ -z $other ]] || warn "$name: set again by $other, which is read after $SYSCTL_FILE; remove it there"
    done
    for path in "$LIMITS_FILE" "$UNIT_FILE"; do
        value=$(written_limit "$path")
        if [[ ! -e $ROOT$path ]]; then
            fail "$path: missing; it raises RLIMIT_NOFILE to $NOFILE"
        elif [[ ! $value =~ ^[0-9]{1,18}$ ]] || ((value < NOFILE)); then
            fail "$path: grants ${value:-no} descriptors to $SERVICE_USER, should be at least $NOFILE"
        else
            ok "$path: $value descriptors, should be at least $NOFILE"
        fi
    done
    for path in "$SYSCTL_FILE" "$TMPFILES_FILE"; do
        if [[ -z ${FORGETFUL[$path]:-} ]]; then
            ok "$path: keeps the values over a restart"
        else
            fail "$path: does not keep over a restart:${FORGETFUL[$path]}"
        fi
    done
}

# The knobs that a file should hold and does not, by file.
declare -A FORGETFUL=()

check_written() {
    local file=$SYSCTL_FILE value
    [[ $1 == /proc/sys/* ]] || file=$TMPFILES_FILE
    value=$(written_value "$file" "$1")
    if [[ -z $value ]] || ! suffices "${RELATION[$1]}" "$value" "${WANTED[$1]}"; then
        FORGETFUL[$file]="${FORGETFUL[$file]:-} $(name_of "$1")"
    fi
}

print_plan() {
    local path have
    plan
    printf 'nothing is changed; tune.sh apply would do this\n\nset:\n'
    for path in "${KNOBS[@]}"; do
        if ! have=$(read_knob "$path"); then
            printf '  %s: not here, left out\n' "$(name_of "$path")"
        elif [[ $have == "${PLANNED[$path]}" ]]; then
            printf '  %s: stays %s\n' "$(name_of "$path")" "$have"
        else
            printf '  %s: %s -> %s\n' "$(name_of "$path")" "$have" "${PLANNED[$path]}"
        fi
    done
    for path in "${FILES[@]}"; do
        printf '\nwrite %s:\n' "$ROOT$path"
        text_of "$path" | sed 's/^/  /'
    done
    print_hints
    print_docker
}

print_hints() {
    printf '\nset in the configuration of the broker, so that it uses the backlog:\n'
    printf '  listeners.tcp.default.tcp_options.backlog = %s\n' "$BACKLOG"
    [[ $CLIENT == no ]] ||
        printf '\nclient addresses: %s for %s connections, %s ports each\n' "$(addresses)" "$CONNECTIONS" "$PORTS"
    if [[ $IRQ != leave ]]; then
        printf '\nirqbalance, where it runs, moves interrupts again: systemctl disable --now irqbalance\n'
    fi
}

# The values of the host's network hold in the container too, because it shares it.
print_docker() {
    cat <<TEXT

in a container (the values above are the host's; apply them there):
  docker run -d --name ringmq --restart on-failure --network host \\
    --security-opt seccomp=$HERE/seccomp.json --security-opt no-new-privileges \\
    --cap-drop ALL --read-only --user 65532:65532 \\
    --ulimit nofile=$NOFILE:$NOFILE --ulimit memlock=$((MEMLOCK_KIB * 1024)):$((MEMLOCK_KIB * 1024)) \\
    ${SHARD_CORES:+--cpuset-cpus $SHARD_CORES }--stop-timeout 30 \\
    -v /usr/local/bin/ringmq:/usr/local/bin/ringmq:ro -v /etc/ringmq:/etc/ringmq:ro -v /var/lib/ringmq:/var/lib/ringmq \\
    debian:12-slim /usr/local/bin/ringmq --config /etc/ringmq/ringmq.toml --set node.data_dir=/var/lib/ringmq
TEXT
}
