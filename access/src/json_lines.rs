//! Files of records, one JSON object a line, the first of which says what the file is. They are written as a whole.

use crate::atomic_file;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// What all files of one kind have in common.
#[derive(Debug, Clone, Copy)]
pub struct JsonLines {
    /// The first line.
    pub header: &'static str,
    /// Bytes of the longest line.
    pub line_bytes_max: u64,
}

/// What is wrong with a line, whatever it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not this file, or from a later version.
    #[error("the first line must be {0}")]
    Header(&'static str),
    /// It is too long.
    #[error("the line has more than {0} bytes")]
    TooLong(u64),
}

/// Why a file cannot be taken in.
#[derive(Debug)]
pub enum ReadError<E> {
    /// It cannot be read.
    Io(io::Error),
    /// This line, from 1, is wrong.
    Line(usize, E),
}

impl JsonLines {
    /// Has each record of a file taken, as text; blank lines are none. A file that does not exist has none.
    ///
    /// # Errors
    /// It cannot be read, or the first line that is wrong.
    pub fn read<E: From<LineError>>(
        self,
        path: &Path,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        let mut reader = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ReadError::Io(error)),
        };
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let mut bounded = (&mut reader).take(self.line_bytes_max + 1);
            let bytes = bounded.read_until(b'\n', &mut line).map_err(ReadError::Io)?;
            if bytes == 0 && number > 1 {
                break;
            }
            let text = line.trim_ascii();
            let taken = match number {
                _ if line.len() as u64 > self.line_bytes_max => {
                    Err(LineError::TooLong(self.line_bytes_max).into())
                }
                1 if text != self.header.as_bytes() => Err(LineError::Header(self.header).into()),
                1 => Ok(()),
                _ if text.is_empty() => Ok(()),
                _ => take(text),
            };
            taken.map_err(|error| ReadError::Line(number, error))?;
        }
        Ok(())
    }

    /// Replaces a file by one with these records.
    ///
    /// # Errors
    /// What the system said; the old file is then still there.
    pub fn write<R: Serialize>(self, path: &Path, records: impl Iterator<Item = R>) -> io::Result<()> {
        atomic_file::write(path, |out| {
            writeln!(out, "{}", self.header)?;
            for record in records {
                serde_json::to_writer(&mut *out, &record)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
    }
}
