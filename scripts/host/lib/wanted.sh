# shellcheck shell=bash
# What a number of connections asks of the kernel: every knob with its value, reason and source.
# Nothing is read here but the sizes of this host, and nothing is written.

# The knobs in order, and what is known of each.
KNOBS=()
declare -A RELATION=() WANTED=() REASON=() SOURCE=()
# Sizes that follow from the number of connections; see collect_sizes.
NOFILE=0 BACKLOG=0 TCP_HIGH_PAGES=0 TCP_CAPPED=no BUFFER_BYTES=0 PORTS=45536

# The ports a client host may use for outgoing connections: above every port the broker listens at by default.
readonly PORT_FIRST=20000 PORT_LAST=65535
# Locked memory, in KiB: the reactor's 512 KiB, and for 256 shards 256 KiB of rings, which kernels before 5.12 count,
# make 65 MiB; the rest is for buffers a ring registers.
readonly MEMLOCK_KIB=524288

# want PATH RELATION VALUE REASON SOURCE
want() {
    KNOBS+=("$1")
    RELATION[$1]=$2 WANTED[$1]=$3 REASON[$1]=$4 SOURCE[$1]=$5
}

# want_sysctl KEY RELATION VALUE REASON SOURCE
want_sysctl() { want "/proc/sys/${1//.//}" "${@:2}"; }

# name_of PATH: a sysctl's key, or the path.
name_of() {
    local name=$1
    [[ $name != /proc/sys/* ]] || name=${name#/proc/sys/} name=${name//\//.}
    printf '%s' "$name"
}

# collect_sizes: the numbers that more than one knob needs.
collect_sizes() {
    local kib page_bytes half_pages ceiling
    kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' "$ROOT/proc/meminfo" 2>/dev/null) || kib=''
    [[ -n $kib ]] || die 1 "$ROOT/proc/meminfo: no MemTotal there; mount /proc, or choose another --root"
    page_bytes=$(getconf PAGESIZE)
    # Sockets on this host: one end of each connection, or both.
    ENDS=$CONNECTIONS
    [[ $CLIENT == no ]] || ENDS=$((2 * CONNECTIONS))
    NOFILE=$(((CONNECTIONS + CONNECTIONS / 8 + 8192 + 1023) / 1024 * 1024))
    BACKLOG=$(power_up $((CONNECTIONS / 16)))
    BACKLOG=$(between 4096 "$BACKLOG" 65535)
    half_pages=$((kib * 1024 / page_bytes / 2))
    TCP_HIGH_PAGES=$((ENDS * 4))
    if ((TCP_HIGH_PAGES > half_pages)); then
        TCP_HIGH_PAGES=$half_pages TCP_CAPPED=yes
    fi
    # What a socket may hold: with one in 64 full, TCP as a whole is at its limit.
    ceiling=$(larger "$TCP_HIGH_PAGES" $((half_pages / 8)))
    BUFFER_BYTES=$((ceiling * page_bytes * 64 / ENDS))
    BUFFER_BYTES=$(between 262144 "$(power_down "$BUFFER_BYTES")" 4194304)
}

# collect_wanted: fills the table.
collect_wanted() {
    collect_sizes
    [[ -z $SHARD_CORES ]] || check_cores
    want_descriptors
    want_queues
    want_tcp_memory
    want_tcp_ends
    [[ $CLIENT == no ]] || want_client
    want_conntrack
    want_process
    [[ $IRQ == leave ]] || want_interrupts
}

want_descriptors() {
    want_sysctl fs.file-max least $((ENDS + ENDS / 4 + 65536)) \
        "open files of the whole host: every socket on it, a quarter for descriptors on their way between shards, 65,536 for the rest" \
        "admin-guide/sysctl/fs: file-max"
    want_sysctl fs.nr_open least "$NOFILE" \
        "ceiling of RLIMIT_NOFILE, which has to reach $NOFILE" "admin-guide/sysctl/fs: nr_open"
}

want_queues() {
    local packets
    want_sysctl net.core.somaxconn least "$BACKLOG" \
        "caps the backlog of each listening socket: one second of all clients returning within 16 s; the broker asks for tcp_options.backlog" \
        "listen(2); networking/ip-sysctl: somaxconn"
    want_sysctl net.ipv4.tcp_max_syn_backlog least "$BACKLOG" \
        "half-open connections of a listening socket, as many as may then wait to be accepted" \
        "networking/ip-sysctl: tcp_max_syn_backlog; tcp(7)"
    want_sysctl net.ipv4.tcp_syncookies least 1 \
        "a burst beyond the backlog is answered with a cookie instead of being dropped" \
        "networking/ip-sysctl: tcp_syncookies"
    packets=$(power_up $((ENDS / 64)))
    want_sysctl net.core.netdev_max_backlog least "$(between 4096 "$packets" 65536)" \
        "packets waiting for one core: a message to all is answered by all at once; what does not fit is sent again 200 ms later" \
        "admin-guide/sysctl/net: netdev_max_backlog"
}

want_tcp_memory() {
    want_sysctl net.ipv4.tcp_mem leasts \
        "$((TCP_HIGH_PAGES / 4)) $((TCP_HIGH_PAGES / 2)) $TCP_HIGH_PAGES" \
        "pages of all TCP buffers: a message to all takes a page per socket, two are pressure, four the limit; at most half of memory" \
        "networking/ip-sysctl: tcp_mem; tcp(7)"
    want_sysctl net.ipv4.tcp_rmem third "4096 131072 $BUFFER_BYTES" \
        "largest receive buffer: with one connection in 64 full, TCP is at its limit; it is lowered where it is larger" \
        "networking/ip-sysctl: tcp_rmem; tcp(7)"
    want_sysctl net.ipv4.tcp_wmem third "4096 16384 $BUFFER_BYTES" \
        "largest send buffer, for the same reason: what a client does not read is better in its session's bounded queue" \
        "networking/ip-sysctl: tcp_wmem; tcp(7)"
    want_sysctl net.core.rmem_max least "$BUFFER_BYTES" \
        "caps tcp_options.recbuf, so that it may ask for as much as automatic sizing gives" \
        "socket(7): SO_RCVBUF; admin-guide/sysctl/net: rmem_max"
    want_sysctl net.core.wmem_max least "$BUFFER_BYTES" \
        "caps tcp_options.sndbuf, likewise" "socket(7): SO_SNDBUF; admin-guide/sysctl/net: wmem_max"
}

want_tcp_ends() {
    want_sysctl net.ipv4.tcp_fin_timeout most 15 \
        "seconds a connection the broker closed waits for the client's end; most clients that vanish never send it" \
        "networking/ip-sysctl: tcp_fin_timeout; tcp(7)"
    want_sysctl net.ipv4.tcp_max_orphans least "$(larger 65536 $((ENDS / 4)))" \
        "closed sockets that still send: when the broker stops, a quarter may; what exceeds it is reset" \
        "networking/ip-sysctl: tcp_max_orphans; tcp(7)"
    want_sysctl net.ipv4.tcp_max_tw_buckets least "$(larger 131072 $((ENDS / 4)))" \
        "sockets in TIME_WAIT: those the broker closed in the last minute" \
        "networking/ip-sysctl: tcp_max_tw_buckets; tcp(7)"
}

want_client() {
    want_sysctl net.ipv4.ip_local_port_range range "$PORT_FIRST $PORT_LAST" \
        "outgoing ports, $PORTS for each client address and broker port, above every port the broker listens at" \
        "networking/ip-sysctl: ip_local_port_range; ip(7)"
    want_sysctl net.ipv4.tcp_tw_reuse is 1 \
        "an outgoing connection may take a port in TIME_WAIT where timestamps make it safe" \
        "networking/ip-sysctl: tcp_tw_reuse"
}

want_conntrack() {
    local entries=$((CONNECTIONS + CONNECTIONS / 4 + 65536))
    [[ -e $ROOT/proc/sys/net/netfilter/nf_conntrack_max ]] || return 0
    want_sysctl net.netfilter.nf_conntrack_max least "$entries" \
        "one entry a connection, a quarter for those that ended; a full table drops packets of new ones" \
        "networking/nf_conntrack-sysctl: nf_conntrack_max"
    want_sysctl net.netfilter.nf_conntrack_buckets least "$entries" \
        "as many buckets as entries, the kernel's own ratio, which makes two links a chain" \
        "networking/nf_conntrack-sysctl: nf_conntrack_buckets"
}

want_process() {
    want_sysctl vm.max_map_count least 262144 \
        "mappings of one process: malloc alone may hold 65,536 large blocks as mappings, more than the kernel's default of 65,530 in all" \
        "admin-guide/sysctl/vm: max_map_count; mallopt(3): M_MMAP_MAX"
    want_sysctl kernel.io_uring_disabled uring 0 \
        "the reactors run on io_uring" "admin-guide/sysctl/kernel: io_uring_disabled"
    want /sys/kernel/mm/transparent_hugepage/enabled sparing madvise \
        "with 'always' a huge page backs every sparsely used 2 MiB of the heap, and idle connections cost more than they use; the broker asks for none" \
        "admin-guide/mm/transhuge"
}
