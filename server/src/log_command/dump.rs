//! `ringmq log dump`: a line for every live record, or for those of one client's session. What cannot be read is a line
//! too. It changes nothing.

use super::error::LogError;
use super::fields::{Tie, Unreadable, describe, message, unknown_message};
use super::line::{Field, Line, Value};
use super::store::{Shard, Store};
use ringmq_persistence::recovery::Damage;
use ringmq_persistence::tools::Snapshot;
use ringmq_persistence::{Id, OpenError};
use std::collections::HashMap;
use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Only what belongs to the session of this client.
    pub client: Option<&'a str>,
    /// As JSON.
    pub is_json: bool,
}

/// Prints the lines. Exit code 0, or 1 if the client that was asked for has no session.
///
/// # Errors
/// [`LogError`].
pub fn dump(directory: &Path, selection: Selection<'_>) -> Result<ExitCode, LogError> {
    let store = Store::find(directory)?;
    let mut printer = Printer { out: BufWriter::new(io::stdout().lock()), is_json: selection.is_json };
    let mut has_session = false;
    for shard in &store.shards {
        match dump_shard(shard, selection.client, &mut printer) {
            Ok(found) => has_session |= found,
            Err(Stop::Closed) => return Ok(ExitCode::SUCCESS),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    match printer.out.flush().map_err(Stop::of_output) {
        Err(Stop::Failed(error)) => return Err(error),
        Ok(()) | Err(Stop::Closed) => {}
    }
    let Some(client) = selection.client.filter(|_| !has_session) else {
        return Ok(ExitCode::SUCCESS);
    };
    // A closed standard error is no reason to fail in another way.
    let _ = writeln!(io::stderr(), "ringmq: no session of client {client:?} in {}", directory.display());
    Ok(ExitCode::from(1))
}

/// Why nothing more is printed.
enum Stop {
    /// The reader, such as `head`, has enough.
    Closed,
    Failed(LogError),
}

impl Stop {
    fn of_output(source: io::Error) -> Stop {
        match source.kind() {
            ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Failed(LogError::Output { source }),
        }
    }
}

/// Writes lines.
struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    is_json: bool,
}

impl Printer {
    fn print(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        let written = if self.is_json {
            serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)
        } else {
            write!(self.out, "{line}")
        };
        written.and_then(|()| self.out.write_all(b"\n")).map_err(Stop::of_output)
    }
}

/// Dumps one log; says whether the client that is asked for has a session in it.
fn dump_shard(shard: &Shard, client: Option<&str>, printer: &mut Printer) -> Result<bool, Stop> {
    let unreadable = |source: OpenError| Stop::Failed(LogError::of(&shard.directory)(source));
    let snapshot = Snapshot::of(&shard.directory).map_err(unreadable)?;
    for damage in &snapshot.report().damages {
        printer.print(&Line {
            kind: "damaged",
            id: damage.id,
            shard: &shard.name,
            fields: &damage_fields(damage),
        })?;
    }
    let sessions = sessions(&snapshot, client).map_err(unreadable)?;
    let has_session = !sessions.is_empty();
    let mut dump = ShardDump { shard, snapshot: &snapshot, sessions, client, printer, message: None };
    let end = snapshot.visit(|id, kind, payload| match dump.take(id, kind, payload) {
        Ok(()) => ControlFlow::Continue(()),
        Err(stop) => ControlFlow::Break(stop),
    });
    match end.map_err(unreadable)? {
        ControlFlow::Continue(()) => Ok(has_session),
        ControlFlow::Break(stop) => Err(stop),
    }
}

/// The clients of all sessions, or of those of one client, by what other records call the session.
fn sessions(snapshot: &Snapshot, client: Option<&str>) -> Result<HashMap<u64, String>, OpenError> {
    let mut sessions = HashMap::new();
    let _: ControlFlow<()> = snapshot.visit(|_, kind, payload| {
        if let Ok(described) = describe(kind, payload)
            && let Tie::Is { session, client: found } = described.tie
            && client.is_none_or(|client| client == found)
        {
            sessions.insert(session, found);
        }
        ControlFlow::Continue(())
    })?;
    Ok(sessions)
}

/// The dump of one log.
struct ShardDump<'a> {
    shard: &'a Shard,
    snapshot: &'a Snapshot,
    sessions: HashMap<u64, String>,
    client: Option<&'a str>,
    printer: &'a mut Printer,
    /// The message that was looked up last: many sessions queue one.
    message: Option<(u64, Vec<Field>)>,
}

impl ShardDump<'_> {
    fn take(&mut self, id: Id, kind: u16, payload: &[u8]) -> Result<(), Stop> {
        let described = match describe(kind, payload) {
            Ok(described) => described,
            Err(error) => return self.print_unreadable(id, kind, payload, &error),
        };
        let mut fields = described.fields;
        let is_wanted = match described.tie {
            Tie::None => self.client.is_none(),
            Tie::Is { session, .. } => self.sessions.contains_key(&session),
            Tie::To { session, body } => {
                let client = self.sessions.get(&session);
                let is_wanted = self.client.is_none() || client.is_some();
                if is_wanted {
                    fields.insert(
                        0,
                        ("client", client.map_or(Value::Unknown, |client| Value::Text(client.clone()))),
                    );
                    fields.extend(body.map(|body| self.message(body)).transpose()?.unwrap_or_default());
                }
                is_wanted
            }
        };
        if !is_wanted {
            return Ok(());
        }
        self.printer.print(&Line {
            kind: described.kind,
            id: Some(id.0),
            shard: &self.shard.name,
            fields: &fields,
        })
    }

    /// What is told of a message where it is queued.
    fn message(&mut self, body: u64) -> Result<Vec<Field>, Stop> {
        if let Some((id, fields)) = &self.message
            && *id == body
        {
            return Ok(fields.clone());
        }
        let unreadable = |source| Stop::Failed(LogError::of(&self.shard.directory)(source));
        let found = self.snapshot.read(Id(body)).map_err(unreadable)?;
        let fields = found.map_or_else(unknown_message, |(kind, payload)| message(kind, &payload));
        self.message = Some((body, fields.clone()));
        Ok(fields)
    }

    /// Whose it is cannot be told, so it is shown whoever is asked for.
    fn print_unreadable(
        &mut self,
        id: Id,
        kind: u16,
        payload: &[u8],
        reason: &Unreadable,
    ) -> Result<(), Stop> {
        let fields = [
            ("record_kind", Value::Digits(format!("{kind:#06x}"))),
            ("record_bytes", Value::Number(payload.len() as u64)),
            ("reason", Value::Text(reason.to_string())),
        ];
        self.printer.print(&Line {
            kind: "unreadable",
            id: Some(id.0),
            shard: &self.shard.name,
            fields: &fields,
        })
    }
}

fn damage_fields(damage: &Damage) -> [Field; 3] {
    [
        ("segment", Value::Digits(damage.segment.file_name())),
        ("from", Value::Number(damage.bytes.start)),
        ("to", Value::Number(damage.bytes.end)),
    ]
}
