//! Where a password comes from: a file, a pipe, or somebody who types it unseen. Never the command line, which every
//! process of the host can read.

use super::error::UsersError;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

/// The longest password, that of an MQTT packet.
const PASSWORD_BYTES_MAX: u64 = 65_535;

/// A password that is not empty, without the end of its line.
///
/// # Errors
/// [`UsersError`].
pub fn read(file: Option<&Path>) -> Result<Vec<u8>, UsersError> {
    let password = match file {
        Some(path) if path != Path::new("-") => {
            let failed = |source| UsersError::Password { from: path.display().to_string(), source };
            first_line(File::open(path).map_err(failed)?).map_err(failed)?
        }
        None if io::stdin().is_terminal() => typed_twice()?,
        _ => first_line(io::stdin()).map_err(of_input)?,
    };
    if password.is_empty() { Err(UsersError::NoPassword) } else { Ok(password) }
}

fn of_input(source: io::Error) -> UsersError {
    UsersError::Password { from: "standard input".to_owned(), source }
}

/// All of a source without the end of its last line; what has more lines than one is not a password.
fn first_line(source: impl Read) -> io::Result<Vec<u8>> {
    let mut password = Vec::new();
    source.take(PASSWORD_BYTES_MAX + 3).read_to_end(&mut password)?;
    if password.ends_with(b"\n") {
        password.pop();
        if password.ends_with(b"\r") {
            password.pop();
        }
    }
    if password.contains(&b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has more than one line"));
    }
    if password.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has more than 65535 bytes"));
    }
    Ok(password)
}

fn typed_twice() -> Result<Vec<u8>, UsersError> {
    let once = typed("Password: ").map_err(of_input)?;
    if once != typed("Again: ").map_err(of_input)? {
        return Err(UsersError::Differ);
    }
    Ok(once)
}

/// What is typed after a prompt, unseen.
fn typed(prompt: &str) -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    let seen = tcgetattr(&stdin)?;
    let mut unseen = seen.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    unseen.local_modes.insert(LocalModes::ECHONL);
    let _ = io::stderr().write_all(prompt.as_bytes());
    tcsetattr(&stdin, OptionalActions::Flush, &unseen)?;
    let mut line = Vec::new();
    let read = stdin.lock().take(PASSWORD_BYTES_MAX + 3).read_until(b'\n', &mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &seen)?;
    read?;
    first_line(&line[..])
}
