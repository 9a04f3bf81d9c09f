//! `ringmq log compact`: rewrites the logs of a broker that does not run, so that they hold live records only. Where
//! something is damaged it keeps what can be read, and the file.

use super::error::LogError;
use super::lock::lock;
use super::store::{Shard, Store};
use super::verify::{print, wrong_lines};
use ringmq_persistence::tools::{self, Compacted};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

/// Compacts every log and prints its bytes before and after. Exit code 0, or 1 if something was damaged.
///
/// # Errors
/// [`LogError`]; what was compacted stays so, and nothing is lost.
pub fn compact(directory: &Path) -> Result<ExitCode, LogError> {
    let store = Store::find(directory)?;
    for shard in &store.shards {
        require_owner(&shard.directory)?;
    }
    let _locked = lock(&store)?;
    let mut is_damaged = false;
    let (mut before, mut after) = (0, 0);
    for shard in &store.shards {
        let compacted = tools::compact(&shard.directory).map_err(LogError::of(&shard.directory))?;
        is_damaged |= !compacted.report.damages.is_empty() || !compacted.after.damages.is_empty();
        before += compacted.report.bytes;
        after += compacted.after.bytes;
        print(&lines(shard, &compacted));
    }
    print(&[format!("compacted: shards {}, bytes {before} -> {after}", store.shards.len())]);
    Ok(ExitCode::from(u8::from(is_damaged)))
}

fn lines(shard: &Shard, compacted: &Compacted) -> Vec<String> {
    let Compacted { report, after, .. } = compacted;
    let mut lines = vec![format!(
        "shard {}: bytes {} -> {}, segments {} -> {}, records {} -> {}, live {}",
        shard.name,
        report.bytes,
        after.bytes,
        report.segments,
        after.segments,
        report.records,
        after.records,
        after.live
    )];
    // What was wrong before; the files are set aside by now.
    lines.extend(wrong_lines(shard, report));
    lines.extend(report.damages.first().map(|_| {
        format!(
            "shard {}: what can be read of damaged segments was kept; their files are *.damaged now",
            shard.name
        )
    }));
    lines.extend(wrong_lines(shard, after));
    lines
}

/// Sees that the files which are about to be made will belong to whom the broker runs as.
fn require_owner(directory: &Path) -> Result<(), LogError> {
    let unreadable = |source| LogError::Directory { directory: directory.to_owned(), source };
    let owner = fs::metadata(directory).map_err(unreadable)?.uid();
    let user = rustix::process::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    Err(LogError::Owner { directory: directory.to_owned(), owner, user })
}
