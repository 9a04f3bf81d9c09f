//! `ringmq users list`: who is there, and by what each may enter.

use super::error::UsersError;
use super::target::Target;
use ringmq_access::authentication::users::{Row, load};
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Prints one line per user.
pub fn list(target: &Target, is_json: bool) -> Result<ExitCode, UsersError> {
    let table = load(&target.path)?;
    let mut out = BufWriter::new(io::stdout().lock());
    // Whoever closes the pipe has read enough.
    let _ = table.rows().try_for_each(|row| line(&mut out, &row, is_json)).and_then(|()| out.flush());
    Ok(ExitCode::SUCCESS)
}

fn line(out: &mut dyn Write, row: &Row, is_json: bool) -> io::Result<()> {
    let password = row.password.as_ref().map(|password| password.kind());
    let scram: Vec<&str> = row.scram.iter().map(|keys| keys.mechanism.name()).collect();
    if is_json {
        let user = json!({
            "user_id": row.user_id,
            "is_superuser": row.is_superuser,
            "password": password,
            "scram": scram,
        });
        return writeln!(out, "{user}");
    }
    let superuser = if row.is_superuser { "superuser" } else { "-" };
    // As in the file: a name with control characters must not write to a terminal what it likes.
    let name: String = row.user_id.chars().flat_map(char::escape_debug).collect();
    let scram = if scram.is_empty() { "-".to_owned() } else { scram.join(",") };
    writeln!(out, "{name}\t{superuser}\t{}\t{scram}", password.unwrap_or("-"))
}
