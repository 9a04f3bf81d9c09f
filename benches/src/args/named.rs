//! Which scenario file is run, and what is said instead of what it says.

use clap::Args;

/// `ringmq-bench run`.
#[derive(Debug, Clone, Args)]
pub struct NamedArguments {
    /// The name of a shipped scenario, or a TOML file: `scenario = "pairs"` and the scenario's options under the names they
    /// have on the command line. `list` names those that are shipped.
    pub name: String,
    /// Options of the scenario, which win over the file's, as in `run p2p-1K --host 192.0.2.1 --json`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}
