//! `ringmq check`: says what of the host does not fit the configuration, and starts nothing.

use crate::config::Config;
use crate::host::{self, Finding, Grade};
use crate::start::EXIT_UNAVAILABLE;
use std::io::Write;
use std::process::ExitCode;

/// Prints one line per finding. Exit code 0 if nothing fails, 69 if io_uring cannot be used, else 1.
pub fn check(config: &Config) -> ExitCode {
    host::raise_soft_limits();
    let io_uring = host::io_uring();
    let code = match io_uring.grade {
        Grade::Fail => EXIT_UNAVAILABLE,
        _ => 1,
    };
    let shards = host::shard_count(config.node.shards);
    let mut findings =
        vec![Finding::ok("config", format!("correct; {shards} shards")), host::kernel(), io_uring];
    findings.push(host::descriptors(config, shards));
    findings.push(host::locked_memory(shards));
    findings.push(host::data_dir(&config.node.data_dir));
    findings.extend(host::listener_ports(config));
    let mut lines = std::io::stdout().lock();
    for finding in &findings {
        // A reader that went away, such as `head`, still gets the exit code right.
        let _ = writeln!(lines, "{finding}");
    }
    let failed = findings.iter().any(|finding| finding.grade == Grade::Fail);
    if failed { ExitCode::from(code) } else { ExitCode::SUCCESS }
}
