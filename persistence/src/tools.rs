//! What an operator does with a log that no broker has open: check it, look into it, shrink it. Checking and dumping
//! change nothing and also serve for a copy of a log in use, which is to them a log after a crash.

use std::path::Path;

use crate::driver::open_machine;
use crate::error::{OpenError, StorageError};
use crate::log::{Figures, Id, Machine};
use crate::options::Options;
use crate::recovery::{Report, Survey};
use crate::storage::Storage;
use crate::storage::files::{Files, block_on};

/// What `compact` did.
#[derive(Debug, Clone)]
pub struct Compacted {
    /// What was found.
    pub report: Report,
    /// Bytes of segment files afterwards.
    pub figures: Figures,
}

/// Reads the log in `directory` and reports what a start would find. Nothing is changed.
///
/// # Errors
/// [`OpenError`]; damage is none, it is in the report.
pub fn verify(directory: &Path) -> Result<Report, OpenError> {
    block_on(async { Survey::of(&Files::read_only(directory)).await.map(|survey| survey.report) })
}

/// Shows `each` live record of the log in `directory` as (id, kind, payload), ids ascending. Nothing is changed.
///
/// # Errors
/// [`OpenError`].
pub fn dump(directory: &Path, mut each: impl FnMut(Id, u16, &[u8])) -> Result<Report, OpenError> {
    block_on(async {
        let files = Files::read_only(directory);
        let survey = Survey::of(&files).await?;
        survey.visit(&files, |id, kind, payload| each(Id(id), kind, payload)).await?;
        Ok(survey.report)
    })
}

/// Rewrites the log in `directory` so that it holds live records only. No broker may have it open.
///
/// # Errors
/// [`OpenError`]; what failed can be tried again, nothing is lost.
pub fn compact(directory: &Path) -> Result<Compacted, OpenError> {
    block_on(async {
        let files = Files::open(directory)?;
        let options = Options { compaction_bytes_per_s: 0, ..Options::default() };
        let (mut machine, report) = open_machine(&files, options, |_, _, _| {}).await?;
        machine.rewrite();
        drain(&files, &mut machine).await?;
        machine.close();
        drain(&files, &mut machine).await?;
        Ok(Compacted { report, figures: machine.figures() })
    })
}

/// Does one operation after the other until there is none.
///
/// # Errors
/// The log has failed.
pub async fn drain<S: Storage>(storage: &S, machine: &mut Machine) -> Result<(), StorageError> {
    while let Some((ticket, operation)) = machine.poll_operation() {
        let answer = storage.perform(operation).await;
        machine.handle_answer(ticket, answer);
    }
    machine.failure().cloned().map_or(Ok(()), Err)
}
