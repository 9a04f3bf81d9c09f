# shellcheck shell=bash
# Lists and masks of cores, and the interrupts and receive queues of network devices that go with them.

# expand_cores LIST: "0-2,5" as "0 1 2 5".
expand_cores() {
    local part first last
    local -a parts found=()
    IFS=, read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        first=${part%-*} last=${part#*-}
        while ((first <= last)); do
            found+=("$first")
            first=$((first + 1))
        done
    done
    # The kernel lists ascending; a person may not.
    [[ ${#found[@]} -eq 0 ]] || printf '%s\n' "${found[@]}" | sort -nu | tr '\n' ' '
}

# mask_of CORE…: the cores as the kernel writes a mask, hexadecimal in groups of 32 bits.
mask_of() {
    local core text=''
    local -a groups=(0)
    for core in "$@"; do
        groups[core / 32]=$((${groups[core / 32]:-0} | 1 << (core % 32)))
    done
    for ((core = ${#groups[@]} - 1; core >= 0; core--)); do
        text+=$(printf '%s%08x' "${text:+,}" "${groups[core]:-0}")
    done
    printf '%s' "$text"
}

# plain_mask MASK: without commas and leading zeros, so that two spellings compare.
plain_mask() {
    local plain=${1//,/}
    while [[ ${#plain} -gt 1 && $plain == 0* ]]; do plain=${plain#0}; done
    printf '%s' "$plain"
}

# devices: the network devices to judge, one a line.
devices() {
    local path
    if [[ -n $DEVICE ]]; then
        [[ $DEVICE =~ ^[A-Za-z0-9_.-]+$ && -d $ROOT/sys/class/net/$DEVICE ]] ||
            die 2 "--device $DEVICE: not in $ROOT/sys/class/net"
        printf '%s\n' "$DEVICE"
        return
    fi
    for path in "$ROOT"/sys/class/net/*; do
        [[ ! -e $path/device ]] || printf '%s\n' "${path##*/}"
    done
}

# interrupts DEVICE: the numbers of its interrupts; those of virtio devices hang at the device above.
interrupts() {
    local folder
    for folder in "$ROOT/sys/class/net/$1/device/msi_irqs" "$ROOT/sys/class/net/$1/device/../msi_irqs"; do
        if [[ -d $folder ]]; then
            ls -- "$folder"
            return
        fi
    done
}

# check_cores: --shard-cores against the cores of this host.
check_cores() {
    local online core
    local number='(0|[1-9][0-9]{0,4})'
    [[ $SHARD_CORES =~ ^$number(-$number)?(,$number(-$number)?)*$ ]] ||
        die 2 "--shard-cores $SHARD_CORES: not a list of cores such as 2-15 or 0,2,4"
    online=$(read_knob /sys/devices/system/cpu/online) ||
        die 1 "$ROOT/sys/devices/system/cpu/online cannot be read; leave out --shard-cores"
    for core in $(expand_cores "$SHARD_CORES"); do
        [[ " $(expand_cores "$online") " == *" $core "* ]] ||
            die 2 "--shard-cores $SHARD_CORES: core $core is not among the cores of this host, $online"
    done
}

# interrupt_cores: the cores that are to take interrupts, by --irq.
interrupt_cores() {
    local core shards online
    shards=" $(expand_cores "$SHARD_CORES") "
    if [[ $IRQ == onto ]]; then
        printf '%s' "$shards"
        return
    fi
    online=$(read_knob /sys/devices/system/cpu/online)
    for core in $(expand_cores "$online"); do
        [[ $shards == *" $core "* ]] || printf '%s ' "$core"
    done
}

# want_interrupts: the knobs of every device's interrupts and receive queues.
want_interrupts() {
    local names name number queue mask at
    local -a cores queues
    read -ra cores <<<"$(interrupt_cores)"
    ((${#cores[@]} > 0)) ||
        die 2 "--irq away: --shard-cores $SHARD_CORES leaves no core for interrupts; leave one out of the list"
    names=$(devices)
    for name in $names; do
        at=0
        for number in $(interrupts "$name"); do
            want "/proc/irq/$number/smp_affinity_list" cores "${cores[at % ${#cores[@]}]}" \
                "interrupt of $name, $IRQ $([[ $IRQ == away ]] && printf from || printf 'to') shard cores, one core each in turn" \
                "core-api/irq/irq-affinity"
            at=$((at + 1))
        done
        queues=("$ROOT/sys/class/net/$name/queues"/rx-*)
        [[ -e ${queues[0]}/rps_cpus ]] || continue
        mask=0
        ((${#queues[@]} >= ${#cores[@]})) || mask=$(mask_of "${cores[@]}")
        for queue in "${queues[@]}"; do
            want "${queue#"$ROOT"}/rps_cpus" mask "$mask" \
                "$name has ${#queues[@]} receive queues for ${#cores[@]} cores; RPS spreads only what queues do not" \
                "networking/scaling"
        done
    done
}
