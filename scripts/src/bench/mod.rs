//! `cargo x bench <what>`: measurements that are too long or too particular for the gate. It only dispatches.

mod instruction_table;
mod instructions;
pub mod million;

use anyhow::{Result, bail};

use crate::arguments::Arguments;

/// Runs what the first word names.
pub fn run(mut words: Vec<String>) -> Result<()> {
    if words.is_empty() {
        bail!("cargo x bench needs to know what to measure");
    }
    let what = words.remove(0);
    let arguments = Arguments::new(words);
    match what.as_str() {
        "instructions" => instructions::run(arguments),
        "million" => million::run(arguments),
        other => bail!("nothing is measured under the name {other}"),
    }
}
