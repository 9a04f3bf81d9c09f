# shellcheck shell=bash
# The files that make values last beyond a restart: their places and texts. Written by state.sh only.

readonly SYSCTL_FILE=/etc/sysctl.d/99-ringmq.conf
readonly LIMITS_FILE=/etc/security/limits.d/90-ringmq.conf
readonly UNIT_FILE=/etc/systemd/system/ringmq.service.d/90-ringmq.conf
readonly TMPFILES_FILE=/etc/tmpfiles.d/ringmq.conf
readonly FILES=("$SYSCTL_FILE" "$LIMITS_FILE" "$UNIT_FILE" "$TMPFILES_FILE")

# text_of FILE: what is to stand in it, from the values PLANNED of each knob.
text_of() {
    printf '# Written by scripts/host/tune.sh for %s connections; its revert restores what was here.\n' \
        "$CONNECTIONS"
    case $1 in
        "$SYSCTL_FILE") text_of_sysctl ;;
        "$LIMITS_FILE")
            printf '# One descriptor a connection, an eighth and 8,192 more (limits.conf(5), getrlimit(2)).\n'
            printf '%s - nofile %s\n' "$SERVICE_USER" "$NOFILE"
            printf '# KiB an io_uring may lock (io_uring_setup(2), getrlimit(2)).\n'
            printf '%s - memlock %s\n' "$SERVICE_USER" "$MEMLOCK_KIB"
            ;;
        "$UNIT_FILE")
            printf '# Services do not read limits.d (systemd.exec(5)).\n[Service]\n'
            printf 'LimitNOFILE=%s\nLimitMEMLOCK=%sK\n' "$NOFILE" "$MEMLOCK_KIB"
            [[ -z $SHARD_CORES ]] || printf 'CPUAffinity=%s\n' "$SHARD_CORES"
            ;;
        "$TMPFILES_FILE") text_of_tmpfiles ;;
    esac
}

# A key that is not there at start, such as conntrack's before its module, must not fail the rest: the leading "-"
# (sysctl.d(5)).
text_of_sysctl() {
    local path
    for path in "${KNOBS[@]}"; do
        [[ $path == /proc/sys/* && -n ${PLANNED[$path]:-} ]] || continue
        printf '# %s [%s]\n-%s = %s\n' "${REASON[$path]}" "${SOURCE[$path]}" "$(name_of "$path")" "${PLANNED[$path]}"
    done
}

# Values outside /proc/sys are written at start by systemd-tmpfiles (tmpfiles.d(5), type w).
text_of_tmpfiles() {
    local path
    for path in "${KNOBS[@]}"; do
        [[ $path != /proc/sys/* && -n ${PLANNED[$path]:-} ]] || continue
        printf '# %s [%s]\nw %s - - - - %s\n' "${REASON[$path]}" "${SOURCE[$path]}" "$path" "${PLANNED[$path]}"
    done
}

# written_value FILE NAME: the value FILE holds for a knob, or nothing.
written_value() {
    local name=$2
    [[ -r $ROOT$1 ]] || return 0
    if [[ $1 == "$SYSCTL_FILE" ]]; then
        name=$(name_of "$name")
        sed -n "s/^-\{0,1\}${name//./\\.} *= *//p" "$ROOT$1" | tail -n 1
    else
        sed -n "s|^w $name - - - - ||p" "$ROOT$1" | tail -n 1
    fi
}

# written_limit FILE: the number of descriptors FILE grants, or nothing.
written_limit() {
    [[ -r $ROOT$1 ]] || return 0
    sed -n -e "s/^$SERVICE_USER - nofile //p" -e 's/^LimitNOFILE=//p' "$ROOT$1" | tail -n 1
}

# overriding_file NAME: a file of sysctl.d that is read after ours and sets the key too, or nothing.
overriding_file() {
    local file
    for file in "$ROOT"/etc/sysctl.d/*.conf "$ROOT/etc/sysctl.conf"; do
        [[ ${file#"$ROOT"} == /etc/sysctl.conf || ${file##*/} > ${SYSCTL_FILE##*/} ]] || continue
        ! grep -Eqs "^[[:space:]]*-?${1//./[./]}[[:space:]]*=" "$file" || printf '%s\n' "${file#"$ROOT"}"
    done | tail -n 1
}
