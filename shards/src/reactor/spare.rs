//! A descriptor held back, so that a connection can still be handed over when the process has no descriptor left.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// One descriptor in reserve.
pub struct Spare {
    held: Option<OwnedFd>,
}

impl Spare {
    /// Takes a descriptor into reserve.
    ///
    /// # Errors
    /// When the process has none left.
    pub fn new() -> io::Result<Spare> {
        let mut spare = Spare { held: None };
        spare.refill()?;
        Ok(spare)
    }

    /// Takes a descriptor into reserve if the last one was used.
    ///
    /// # Errors
    /// When the process has none left (EMFILE, ENFILE).
    pub fn refill(&mut self) -> io::Result<()> {
        if self.held.is_none() {
            self.held = Some(std::fs::File::open("/dev/null")?.into());
        }
        Ok(())
    }

    /// A second descriptor of the same socket: the one in reserve, which needs no free descriptor, else a new one.
    ///
    /// # Errors
    /// When the reserve is used up and the process has no descriptor left.
    pub fn duplicate(&mut self, socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let Some(mut held) = self.held.take() else { return socket.try_clone_to_owned() };
        rustix::io::dup3(socket, &mut held, rustix::io::DupFlags::CLOEXEC)?;
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::Spare;
    use std::io::{Read, Write};
    use std::os::fd::{AsFd, AsRawFd};
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_duplicate_takes_the_place_of_the_reserve() {
        let mut spare = Spare::new().expect("a descriptor");
        let reserved = spare.held.as_ref().map(AsRawFd::as_raw_fd);
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let duplicate = spare.duplicate(ours.as_fd()).expect("the reserve");
        assert_eq!(Some(duplicate.as_raw_fd()), reserved);
        drop(ours);
        UnixStream::from(duplicate).write_all(b"still open").expect("an open socket");
        let mut read = String::new();
        theirs.read_to_string(&mut read).expect("the end after the text");
        assert_eq!(read, "still open");
        spare.refill().expect("a descriptor");
        assert!(spare.held.is_some());
    }
}
