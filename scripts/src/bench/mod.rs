//! `cargo x bench <what>`: measurements that are too long or too particular for the gate. It only dispatches.

use anyhow::{Result, bail};

use crate::arguments::Arguments;

/// Runs what the first word names.
pub fn run(mut words: Vec<String>) -> Result<()> {
    if words.is_empty() {
        bail!("cargo x bench needs to know what to measure");
    }
    let what = words.remove(0);
    let _arguments = Arguments::new(words);
    bail!("nothing is measured under the name {what}")
}
