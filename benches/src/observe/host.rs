//! Facts about this host and this command that a figure is worth nothing without. Reads `/proc` once, at the end of a run.

use serde_json::{Value, json};
use std::{env, fs, thread};

/// Kernel, processor, memory and congestion control, as in a report's `host`.
pub fn facts() -> Value {
    json!({
        "kernel": line_of("/proc/sys/kernel/osrelease"),
        "cpu_model": field_of("/proc/cpuinfo", "model name"),
        "cores": thread::available_parallelism().map_or(0, usize::from),
        "memory_bytes": memory_bytes(),
        "congestion_control": line_of("/proc/sys/net/ipv4/tcp_congestion_control"),
    })
}

/// How this process was started, as one would type it.
pub fn command_line() -> String {
    join_words(env::args())
}

/// Bytes the kernel holds for all TCP sockets of this host, from `/proc/net/sockstat`; 0 where it does not tell.
pub fn socket_memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    socket_pages(&text).unwrap_or(0) * PAGE_BYTES
}

/// Every x86-64 and nearly every ARM kernel counts in these.
const PAGE_BYTES: u64 = 4096;

/// Words with a space between them, quoted where a shell would need it.
pub fn join_words(words: impl Iterator<Item = String>) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&byte);
    let quoted = words.map(|word| {
        if !word.is_empty() && word.bytes().all(is_plain) {
            return word;
        }
        format!("'{}'", word.replace('\'', r"'\''"))
    });
    quoted.collect::<Vec<String>>().join(" ")
}

fn socket_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace().skip_while(|&word| word != "mem");
    words.nth(1)?.parse().ok()
}

fn memory_bytes() -> u64 {
    kib_field(&line_of("/proc/meminfo"), "MemTotal:").unwrap_or(0)
}

/// The line `Name:   123 kB` of a text from `/proc`, in bytes.
pub fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The value of the first line `name : value`.
fn field_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_kernel_cores_and_memory() {
        let facts = facts();
        assert!(facts["kernel"].as_str().is_some_and(|kernel| !kernel.is_empty()), "{facts}");
        assert!(
            facts["cores"].as_u64() >= Some(1) && facts["memory_bytes"].as_u64() > Some(1 << 20),
            "{facts}"
        );
    }

    #[test]
    fn command_lines_can_be_typed_again() {
        let words = ["ringmq", "--set", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(join_words(words.into_iter()), r"ringmq --set 'a b' 'it'\''s' ''");
    }

    #[test]
    fn memory_lines_are_kibibytes() {
        let text = "VmPeak:\t  9 kB\nVmRSS:\t    12 kB\nSlabs: 1 kB\nSlab:   7 kB\n";
        assert_eq!(kib_field(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kib_field(text, "Slab:"), Some(7 * 1024));
        assert_eq!(kib_field(text, "Pss:"), None);
    }

    #[test]
    fn socket_memory_is_counted_in_pages() {
        let text = "sockets: used 9\nTCP: inuse 7 orphan 0 tw 0 alloc 7 mem 314\nUDP: inuse 0 mem 1\n";
        assert_eq!(socket_pages(text), Some(314));
        assert_eq!(socket_pages("UDP: inuse 0 mem 1\n"), None);
    }
}
