//! What `report` is told on the command line.

use clap::Args;
use std::path::PathBuf;

/// `ringmq-bench report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArguments {
    /// Results written with `--json`, of single runs or of `compare`; the first is what the others are compared to.
    #[arg(required = true)]
    pub results: Vec<PathBuf>,
    /// The page to write.
    #[arg(short, long, default_value = "report.html")]
    pub output: PathBuf,
}
