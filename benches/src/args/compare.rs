//! What `compare` is told on the command line. Brokers and scenarios stand in its recipe.

use clap::Args;
use std::path::PathBuf;

/// `ringmq-bench compare`.
#[derive(Debug, Clone, Args)]
pub struct CompareArguments {
    /// The recipe: brokers and scenarios (TOML); else the shipped one, which `--print` shows.
    pub recipe: Option<PathBuf>,
    /// Rounds, in each of which every broker runs the scenario once; else what the recipe says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: Option<u32>,
    /// Only scenarios whose name contains this text; may be given several times.
    #[arg(long, value_name = "SCENARIO")]
    pub only: Vec<String>,
    /// Only brokers of this name; may be given several times.
    #[arg(long, value_name = "BROKER")]
    pub broker: Vec<String>,
    /// Keep the JSON of every run in this folder, for `ringmq-bench report`.
    #[arg(long, value_name = "FOLDER")]
    pub save: Option<PathBuf>,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    pub json: bool,
    /// Print the shipped recipe and do nothing else.
    #[arg(long)]
    pub print: bool,
}
