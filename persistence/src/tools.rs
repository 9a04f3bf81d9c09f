//! What an operator does with a log: check it, look into it, shrink it. Checking and dumping change nothing and also serve
//! for a log in use, or a copy of one, which is to them a log after a crash. Shrinking is for a log that no broker has open.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

use crate::driver::open_machine;
use crate::error::{OpenError, StorageError};
use crate::format::BLOCK_BYTES;
use crate::log::index::Location;
use crate::log::{Figures, Id, Machine};
use crate::options::Options;
use crate::recovery::{Damage, Report, Survey};
use crate::storage::Storage;
use crate::storage::files::{Files, block_on};
use crate::window::{self, Window};

/// How often a log is listed again because a segment of it was deleted before it could be read.
const LISTINGS_MAX: usize = 64;
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// What `compact` did.
#[derive(Debug, Clone)]
pub struct Compacted {
    /// What was found.
    pub report: Report,
    /// What was done.
    pub figures: Figures,
    /// What a start will find now.
    pub after: Report,
}

/// A log that is looked into. Nothing of it is changed.
#[derive(Debug)]
pub struct Snapshot {
    files: Files,
    survey: Survey,
    window: RefCell<Window>,
}

impl Snapshot {
    /// Reads the log in `directory`. It may be in use: what is written meanwhile is seen or not, as after a crash.
    ///
    /// # Errors
    /// [`OpenError`]; damage is none, it is in the report.
    pub fn of(directory: &Path) -> Result<Self, OpenError> {
        let first = Self::once(directory)?;
        if first.survey.report.damages.is_empty() {
            return Ok(first);
        }
        // A segment whose header is written while the others are read looks damaged once. Damage is what stays.
        let place = |damage: &Damage| (damage.segment, damage.bytes.start, damage.id);
        let seen: Vec<_> = first.survey.report.damages.iter().map(place).collect();
        let mut second = Self::once(directory)?;
        second.survey.report.damages.retain(|damage| seen.contains(&place(damage)));
        Ok(second)
    }

    fn once(directory: &Path) -> Result<Self, OpenError> {
        let mut listings = 0;
        loop {
            let files = Files::read_only(directory);
            listings += 1;
            match block_on(Survey::of(&files)) {
                Ok(survey) => return Ok(Self { files, survey, window: RefCell::default() }),
                Err(OpenError::Storage(error))
                    if error.source.kind() == ErrorKind::NotFound && listings < LISTINGS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What a start would find.
    pub fn report(&self) -> &Report {
        &self.survey.report
    }

    /// Shows `each` live record as (id, kind, payload), ids ascending, until it breaks.
    ///
    /// # Errors
    /// A segment cannot be read, or not as it was read before.
    pub fn visit<B>(
        &self,
        mut each: impl FnMut(Id, u16, &[u8]) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, OpenError> {
        let mut window = Window::default();
        for (id, location) in self.survey.remains.index.iter() {
            let (kind, payload) = block_on(record(&mut window, &self.files, id, location))?;
            if let ControlFlow::Break(end) = each(Id(id), kind, payload) {
                return Ok(ControlFlow::Break(end));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The kind and the payload of one live record; `None` if there is none with this id.
    ///
    /// # Errors
    /// As [`Snapshot::visit`].
    pub fn read(&self, id: Id) -> Result<Option<(u16, Vec<u8>)>, OpenError> {
        let Some(location) = self.survey.remains.index.location(id.0) else {
            return Ok(None);
        };
        let mut window = self.window.borrow_mut();
        let (kind, payload) = block_on(record(&mut window, &self.files, id.0, location))?;
        Ok(Some((kind, payload.to_vec())))
    }
}

/// A record that was found when the log was read.
async fn record<'a>(
    window: &'a mut Window,
    files: &Files,
    id: u64,
    location: Location,
) -> Result<(u16, &'a [u8]), OpenError> {
    let record = window.record(files, id, location).await?;
    record.ok_or_else(|| window::changed(id, location.segment).into())
}

/// Reads the log in `directory` and reports what a start would find. Nothing is changed.
///
/// # Errors
/// [`OpenError`]; damage is none, it is in the report.
pub fn verify(directory: &Path) -> Result<Report, OpenError> {
    Snapshot::of(directory).map(|snapshot| snapshot.survey.report)
}

/// Shows `each` live record of the log in `directory` as (id, kind, payload), ids ascending. Nothing is changed.
///
/// # Errors
/// [`OpenError`].
pub fn dump(directory: &Path, mut each: impl FnMut(Id, u16, &[u8])) -> Result<Report, OpenError> {
    let snapshot = Snapshot::of(directory)?;
    let _: ControlFlow<()> = snapshot.visit(|id, kind, payload| {
        each(id, kind, payload);
        ControlFlow::Continue(())
    })?;
    Ok(snapshot.survey.report)
}

/// Rewrites the log in `directory` so that it holds live records only, and reads it again. No broker may have it open.
/// A log without segments stays one.
///
/// # Errors
/// [`OpenError`]; what failed can be tried again, nothing is lost.
pub fn compact(directory: &Path) -> Result<Compacted, OpenError> {
    block_on(async {
        let files = Files::open(directory)?;
        let listed = segment_sizes(&files).await?;
        let options = Options {
            segment_bytes: segment_bytes(&listed),
            compaction_bytes_per_s: 0,
            // What is damaged must be found before anything is deleted.
            checkpoint_bytes: 0,
            ..Options::default()
        };
        let (mut machine, report) = open_machine(&files, options, |_, _, _| {}).await?;
        if !listed.is_empty() {
            machine.rewrite();
            drain(&files, &mut machine).await?;
        }
        machine.close();
        drain(&files, &mut machine).await?;
        // What was allocated and not filled goes, as it does at every start.
        let mut survey = Survey::of(&files).await?;
        survey.settle(&files).await?;
        let bytes = segment_sizes(&files).await?.iter().sum();
        let after = Report { bytes, ..survey.report };
        Ok(Compacted { report, figures: machine.figures(), after })
    })
}

/// Bytes of each segment's file.
async fn segment_sizes(files: &Files) -> Result<Vec<u64>, StorageError> {
    let listed = files.list().await?.into_iter();
    Ok(listed.filter(|listed| listed.file.segment().is_some()).map(|listed| listed.bytes).collect())
}

/// The size the log's segments have, as far as it can be told: all but the last one are as large as they were made.
fn segment_bytes(listed: &[u64]) -> u64 {
    let largest = listed.iter().copied().max().unwrap_or(0);
    let whole = largest - largest % BLOCK_BYTES as u64;
    whole.clamp(SEGMENT_BYTES_MIN, Options::default().segment_bytes)
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
