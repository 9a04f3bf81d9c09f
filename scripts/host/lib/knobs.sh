# shellcheck shell=bash
# A knob is a file below /proc or /sys that holds one value. Here: reading, writing, and whether a value will do.
# Nothing here knows which knobs there are.

# read_raw PATH: the text of a knob, without its last line end.
read_raw() {
    local text
    text=$(cat -- "$ROOT$1" 2>/dev/null) || return 1
    printf '%s' "$text"
}

# read_knob PATH: its value with single spaces; of a choice such as "always [madvise] never" the chosen word.
read_knob() {
    local raw
    raw=$(read_raw "$1") || return 1
    plain_value "$raw"
}

# plain_value RAW: what read_knob makes of a knob's text.
plain_value() {
    local -a words
    read -ra words <<<"$1"
    [[ ! $1 =~ \[([a-z]+)\] ]] || words=("${BASH_REMATCH[1]}")
    printf '%s' "${words[*]}"
}

# write_knob PATH VALUE: false where the kernel refuses.
write_knob() {
    { printf '%s\n' "$2" >"$ROOT$1"; } 2>/dev/null
}

# suffices RELATION HAVE WANT: whether the value HAVE will do.
suffices() {
    local relation=$1 i
    local -a have want
    read -ra have <<<"$2"
    read -ra want <<<"$3"
    case $relation in
        least | leasts | most | range | third)
            # What is no number would be evaluated as an expression.
            [[ ${have[*]} =~ ^-?[0-9]+(\ -?[0-9]+)*$ ]] || return 1
            ;;
    esac
    case $relation in
        least | leasts)
            for i in "${!want[@]}"; do
                ((${have[i]:-0} >= want[i])) || return 1
            done
            ;;
        most) ((have[0] <= want[0])) ;;
        range) ((have[0] <= want[0] && ${have[1]:-0} >= want[1])) ;;
        third) ((${have[2]:-0} <= want[2])) ;;
        is) [[ ${have[*]} == "${want[*]}" ]] ;;
        sparing) [[ ${have[0]} == madvise || ${have[0]} == never ]] ;;
        uring) [[ ${have[0]} == 0 ]] || [[ ${have[0]} == 1 && $(uring_group) -ge 0 ]] ;;
        cores) [[ $(expand_cores "${have[0]:-}") == "$(expand_cores "${want[0]}")" ]] ;;
        mask) [[ $(plain_mask "${have[0]:-0}") == "$(plain_mask "${want[0]}")" ]] ;;
        *) die 1 "relation $relation is not known; a defect of tune.sh" ;;
    esac
}

# target RELATION BASE WANT: what to set, given what was there at first. Values are raised, never lowered, except where
# the relation is "at most".
target() {
    local relation=$1 i
    local -a base want result
    read -ra base <<<"$2"
    read -ra want <<<"$3"
    if suffices "$relation" "$2" "$3"; then
        printf '%s' "${base[*]}"
        return
    fi
    result=("${want[@]}")
    [[ ${base[*]} =~ ^-?[0-9]+(\ -?[0-9]+)*$ ]] || base=("${want[@]}")
    case $relation in
        leasts)
            for i in "${!want[@]}"; do
                ((${base[i]:-0} <= want[i])) || result[i]=${base[i]}
            done
            ;;
        range)
            ((base[0] >= want[0])) || result[0]=${base[0]}
            ((${base[1]:-0} <= want[1])) || result[1]=${base[1]}
            ;;
        third)
            result=("${base[0]}" "$(smaller "${base[1]}" "${want[2]}")" "${want[2]}")
            ;;
    esac
    printf '%s' "${result[*]}"
}

# phrase RELATION WANT: the wish in words.
phrase() {
    case $1 in
        least | leasts) printf 'at least %s' "$2" ;;
        most) printf 'at most %s' "$2" ;;
        range) printf '%s or wider' "$2" ;;
        third) printf 'at most %s as its third number' "${2##* }" ;;
        sparing) printf '%s or never' "$2" ;;
        uring) printf '0, or 1 with kernel.io_uring_group set' ;;
        *) printf '%s' "$2" ;;
    esac
}

# uring_group: the group that may use io_uring where only that one may; -1 for none.
uring_group() {
    read_knob /proc/sys/kernel/io_uring_group || printf '%s' -1
}

smaller() { printf '%s' $(($1 < $2 ? $1 : $2)); }
larger() { printf '%s' $(($1 > $2 ? $1 : $2)); }

# between LOW VALUE HIGH: VALUE, held within the bounds.
between() { smaller "$(larger "$1" "$2")" "$3"; }

# power_up VALUE: the next power of two; power_down VALUE: the one before.
power_up() {
    local power=1
    while ((power < $1)); do power=$((power * 2)); done
    printf '%s' "$power"
}
power_down() {
    local power=1
    while ((power * 2 <= $1)); do power=$((power * 2)); done
    printf '%s' "$power"
}
