//! What this host's kernel holds for connections. Counts the whole host: where broker and generator share it, both ends
//! of each connection, and whatever else happens meanwhile.

use crate::observe::host::{self, kib_field};
use std::fs;

/// Kernel memory at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct KernelMemory {
    /// Objects such as sockets, files and epoll items (Slab in `/proc/meminfo`).
    pub slab_bytes: u64,
    /// Bytes on their way in TCP sockets.
    pub socket_bytes: u64,
    /// What a new program could still have (MemAvailable).
    pub available_bytes: u64,
}

impl KernelMemory {
    /// Now; zeroes where the kernel does not tell.
    pub fn now() -> KernelMemory {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        KernelMemory {
            slab_bytes: kib_field(&text, "Slab:").unwrap_or(0),
            socket_bytes: host::socket_memory_bytes(),
            available_bytes: kib_field(&text, "MemAvailable:").unwrap_or(0),
        }
    }
}

/// Resident bytes of this process.
pub fn own_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    kib_field(&status, "VmRSS:").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_tells() {
        let memory = KernelMemory::now();
        assert!(memory.slab_bytes > 0 && memory.available_bytes > 0 && own_rss_bytes() > 100_000);
    }
}
