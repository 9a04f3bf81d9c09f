# shellcheck shell=bash
# What was there before: saved by the first apply, put back by revert. Every change goes through here.

readonly STATE=/var/lib/ringmq-host
# The first value of each knob that was ever changed, by path; what is to be set now.
declare -A SAVED=() PLANNED=()

# load_state: reads the saved values, if there are any.
load_state() {
    local path value
    [[ -f $ROOT$STATE/values ]] || return 0
    while IFS=$'\t' read -r path value; do
        SAVED[$path]=$value
    done <"$ROOT$STATE/values"
}

# plan: what to set each knob to. What apply set before does not count as found.
plan() {
    local path base
    load_state
    for path in "${KNOBS[@]}"; do
        base=$(read_knob "$path") || continue
        [[ -z ${SAVED[$path]+x} ]] || base=$(plain_value "${SAVED[$path]}")
        PLANNED[$path]=$(target "${RELATION[$path]}" "$base" "${WANTED[$path]}")
    done
    plan_leftovers
}

# plan_leftovers: what an earlier apply set and this one does not ask for goes back to what was found.
plan_leftovers() {
    local path
    for path in "${!SAVED[@]}"; do
        [[ -z ${RELATION[$path]:-} && -e $ROOT$path ]] || continue
        want "$path" is "$(plain_value "${SAVED[$path]}")" "as it was found" "an earlier apply"
        PLANNED[$path]=${WANTED[$path]}
    done
}

# make_directory PATH: with its parents, noting those that were not there.
make_directory() {
    [[ ! -d $ROOT$1 ]] || return 0
    make_directory "$(dirname -- "$1")"
    mkdir -- "$ROOT$1" || die 1 "$ROOT$1: cannot be made; see that the file system is writable"
    # The state's own directory is made before there is a place to note it.
    if [[ -d $ROOT$STATE ]]; then
        printf '%s\n' "$1" >>"$ROOT$STATE/directories"
    else
        EARLY_DIRECTORIES+=("$1")
    fi
}

begin_state() {
    local path
    EARLY_DIRECTORIES=()
    make_directory "$(dirname -- "$STATE")"
    [[ -d $ROOT$STATE ]] || mkdir -m 700 -- "$ROOT$STATE" ||
        die 1 "$ROOT$STATE: cannot be made, so nothing was changed; see that the file system is writable"
    mkdir -p -- "$ROOT$STATE/files"
    for path in "${EARLY_DIRECTORIES[@]}"; do printf '%s\n' "$path" >>"$ROOT$STATE/directories"; done
    touch -- "$ROOT$STATE/values" "$ROOT$STATE/directories" "$ROOT$STATE/paths"
}

# set_knob PATH: sets it to what is planned; false where it stays as it is.
set_knob() {
    local path=$1 have
    have=$(read_knob "$path")
    [[ $have != "${PLANNED[$path]}" ]] || return 0
    if [[ -z ${SAVED[$path]+x} ]]; then
        printf '%s\t%s\n' "$path" "$(read_raw "$path")" >>"$ROOT$STATE/values" ||
            die 1 "$ROOT$STATE/values: cannot be written, so $path was not changed"
    fi
    write_knob "$path" "${PLANNED[$path]}" || return 1
    suffices "${RELATION[$path]}" "$(read_knob "$path")" "${PLANNED[$path]}"
}

# set_file PATH: writes it as planned, keeping what was there.
set_file() {
    local path=$1 kept=$ROOT$STATE/files$1
    if ! grep -qxF -e "kept $path" -e "made $path" "$ROOT$STATE/paths"; then
        if [[ -e $ROOT$path || -L $ROOT$path ]]; then
            mkdir -p -- "$(dirname -- "$kept")"
            cp -a -- "$ROOT$path" "$kept"
            printf 'kept %s\n' "$path" >>"$ROOT$STATE/paths"
        else
            printf 'made %s\n' "$path" >>"$ROOT$STATE/paths"
        fi
    fi
    make_directory "$(dirname -- "$path")"
    text_of "$path" >"$ROOT$path.new"
    chmod 644 -- "$ROOT$path.new"
    mv -f -- "$ROOT$path.new" "$ROOT$path"
}

# reload_units: tells a running systemd, unless the root is not this host's.
reload_units() {
    [[ -z $ROOT && -d /run/systemd/system ]] || return 0
    systemctl daemon-reload || die 1 "systemctl daemon-reload failed; run it by hand"
}

apply() {
    local path left=0
    plan
    begin_state
    for path in "${KNOBS[@]}"; do
        [[ -n ${PLANNED[$path]:-} ]] || continue
        if ! set_knob "$path"; then
            left=$((left + 1))
            printf 'fail  %s: stays %s; not writable here, run this in the host'\''s own namespaces\n' \
                "$(name_of "$path")" "$(read_knob "$path")"
            # A limit above this ceiling would keep the user from logging in and the service from starting.
            [[ $path != /proc/sys/fs/nr_open ]] || NOFILE=$(smaller "$NOFILE" "$(read_knob "$path")")
        fi
    done
    for path in "${FILES[@]}"; do
        set_file "$path"
        printf 'wrote %s\n' "$ROOT$path"
    done
    reload_units
    printf 'what was there is in %s; tune.sh revert restores it\n' "$ROOT$STATE"
    printf 'limits hold from the next login and the next start of the service\n'
    if ((left > 0)); then
        printf '%s values not applied\n' "$left"
        return 1
    fi
}

# revert_values: false where one could not be put back.
revert_values() {
    local path value left=0
    while IFS=$'\t' read -r path value; do
        if [[ ! -e $ROOT$path ]]; then
            printf 'gone  %s\n' "$(name_of "$path")"
            continue
        fi
        # What could not be set is as it was, and perhaps not writable.
        [[ $(read_raw "$path") != "$value" ]] || continue
        [[ -n $ROOT ]] || value=$(plain_value "$value")
        if ! write_knob "$path" "$value"; then
            left=$((left + 1))
            printf 'fail  %s: cannot be set to %s; run revert where apply ran\n' "$(name_of "$path")" "$value"
        fi
    done < <(tac -- "$ROOT$STATE/values")
    return $((left > 0))
}

revert_files() {
    local what path
    while read -r what path; do
        rm -f -- "$ROOT$path"
        [[ $what != kept ]] || cp -a -- "$ROOT$STATE/files$path" "$ROOT$path"
        printf '%s %s\n' "$([[ $what == kept ]] && printf restored || printf removed)" "$ROOT$path"
    done <"$ROOT$STATE/paths"
}

revert() {
    local -a made=()
    local path
    if [[ ! -f $ROOT$STATE/values ]]; then
        printf 'nothing to revert: no apply left anything in %s\n' "$ROOT$STATE"
        return
    fi
    revert_values || die 1 "$ROOT$STATE is kept, so that revert can be run again"
    revert_files
    mapfile -t made < <(tac -- "$ROOT$STATE/directories")
    rm -rf -- "$ROOT${STATE:?}"
    # Somebody may have put files of their own there since.
    for path in "${made[@]}"; do rmdir -- "$ROOT$path" 2>/dev/null || true; done
    reload_units
    printf 'restored what the first apply found\n'
}
