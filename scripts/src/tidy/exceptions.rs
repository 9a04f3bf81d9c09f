//! What tidy lets through, each with its reason. A list, not a switch: an entry names one file or folder, and an
//! entry that is no longer needed is itself a violation.

use super::{Tree, Violation};

/// A path relative to the repository's root, and why it is let through.
type Exception = (&'static str, &'static str);

/// Functions over the limit, as `file.rs:function`.
pub const LONG_FUNCTIONS: &[Exception] = &[];

/// Folders with more files than the limit.
pub const WIDE_FOLDERS: &[Exception] = &[];

/// Files that may name glommio besides the reactor and the storage backend.
pub const GLOMMIO_FILES: &[Exception] =
    &[("benches/benches/lanes.rs", "measures glommio's channel beside the lane that was chosen instead")];

/// The only files that may contain `unsafe`.
pub const UNSAFE_FILES: &[Exception] = &[
    ("benches/src/net/syscalls.rs", "the system calls that no crate wraps"),
    ("benches/src/observe/cpu_clock.rs", "the CPU clock of the broker's process, read through libc"),
    ("shards/src/affinity.rs", "the affinity mask and the scheduling of a thread, through libc"),
    ("shards/mesh/src/ring.rs", "the slots that a lane's two ends share"),
    ("shards/src/probe.rs", "one raw io_uring_setup, to learn whether it is allowed"),
    ("shards/src/trim.rs", "malloc_trim, which no crate wraps"),
    (
        "shards/src/reactor/glommio_net.rs",
        "descriptors that change hands between the reactor and its library",
    ),
    ("shards/src/reactor/tables.rs", "unshare and the descriptors of other tables, which are only numbers"),
    ("shards/src/reactor/uring/buffers.rs", "memory that the kernel fills"),
    ("shards/src/reactor/uring/listeners.rs", "descriptors that completions bring"),
    ("shards/src/reactor/uring/mod.rs", "descriptors that change hands between the slots and the kernel"),
    ("shards/src/reactor/uring/ring.rs", "operations whose memory the kernel uses until they complete"),
    ("shards/src/reactor/uring/sends.rs", "bytes that the kernel reads until their send completes"),
    ("shards/src/reactor/wake.rs", "wakers that are a number, so that waking allocates nothing"),
];

/// Why this function may be long, if it may.
pub fn is_long_function(path: &str, function: &str) -> bool {
    LONG_FUNCTIONS
        .iter()
        .any(|(name, _)| name.split_once(".rs:") == Some((path.trim_end_matches(".rs"), function)))
}

/// Whether the list has this path.
pub fn has(list: &[Exception], path: &str) -> bool {
    list.iter().any(|(name, _)| *name == path)
}

/// Reports entries whose file or folder is gone.
pub fn check(tree: &Tree, found: &mut Vec<Violation>) {
    for (name, _) in LONG_FUNCTIONS.iter().chain(WIDE_FOLDERS).chain(GLOMMIO_FILES).chain(UNSAFE_FILES) {
        let path = name.rsplit_once(':').map_or(*name, |(path, _)| path);
        let folder = format!("{path}/");
        if !tree.files.iter().any(|file| file == path || file.starts_with(&folder)) {
            found.push(Violation::new("scripts/src/tidy/exceptions.rs", 1, format!("{name} does not exist")));
        }
    }
}
