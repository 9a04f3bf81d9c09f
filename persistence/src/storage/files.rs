//! A log in files of the standard library, which block the thread: for tools, tests, and hosts without io_uring. Its
//! futures are always ready.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Listed, Storage};
use crate::error::StorageError;
use crate::format::{LogFile, SegmentNumber};

/// A directory.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
    is_read_only: bool,
    open: RefCell<HashMap<LogFile, Rc<File>>>,
}

impl Files {
    /// A log in this directory, which is created if it does not exist.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        fs::create_dir_all(directory)
            .map_err(|source| StorageError::new("creating the directory", None, source))?;
        Ok(Self { directory: directory.to_owned(), is_read_only: false, open: RefCell::default() })
    }

    /// A log in this directory, of which nothing is ever changed.
    pub fn read_only(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), is_read_only: true, open: RefCell::default() }
    }

    fn path(&self, file: LogFile) -> PathBuf {
        self.directory.join(file.name())
    }

    fn file(&self, which: LogFile) -> io::Result<Rc<File>> {
        if let Some(file) = self.open.borrow().get(&which) {
            return Ok(file.clone());
        }
        let file = OpenOptions::new().read(true).write(!self.is_read_only).open(self.path(which))?;
        let file = Rc::new(file);
        self.open.borrow_mut().insert(which, file.clone());
        Ok(file)
    }

    fn create_file(&self, which: LogFile, bytes: u64) -> io::Result<()> {
        let path = self.path(which);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if bytes > 0 {
            allocate(&file, bytes)?;
        }
        self.open.borrow_mut().insert(which, Rc::new(file));
        Ok(())
    }
}

/// Allocates blocks where the file system can, so that a full disk shows here and not in a write.
pub(super) fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            file.set_len(bytes.max(file.metadata()?.len()))
        }
        result => Ok(result?),
    }
}

/// The log's files in a directory; none if it does not exist.
pub(super) fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut listed = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(file) = entry.file_name().to_str().and_then(LogFile::of_name) {
            listed.push(Listed { file, bytes: entry.metadata()?.len() });
        }
    }
    Ok(listed)
}

/// Renames a segment's file to a name that is not taken.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let aside = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".damaged".to_owned() } else { format!(".{number}.damaged") });
        PathBuf::from(name)
    };
    let free = (0..u32::MAX).map(aside).find(|path| !path.exists());
    fs::rename(path, free.ok_or(io::ErrorKind::AlreadyExists)?)
}

/// Cuts a file off and syncs it with its size.
pub(super) fn cut(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}

/// Deletes a file that may be gone already.
pub(super) fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

impl Storage for Files {
    async fn list(&self) -> Result<Vec<Listed>, StorageError> {
        list(&self.directory).map_err(|source| StorageError::new("listing the directory", None, source))
    }

    async fn create(&self, file: LogFile, bytes: u64) -> Result<(), StorageError> {
        self.create_file(file, bytes).map_err(|source| StorageError::new("creation", Some(file), source))
    }

    async fn write(&self, file: LogFile, offset: u64, bytes: Arc<Vec<u8>>) -> Result<(), StorageError> {
        self.file(file)
            .and_then(|open| open.write_all_at(&bytes, offset))
            .map_err(|source| StorageError::new("write", Some(file), source))
    }

    async fn sync(&self, file: LogFile) -> Result<(), StorageError> {
        self.file(file)
            .and_then(|open| open.sync_data())
            .map_err(|source| StorageError::new("sync", Some(file), source))
    }

    async fn sync_directory(&self) -> Result<(), StorageError> {
        File::open(&self.directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| StorageError::new("sync of the directory", None, source))
    }

    async fn read(&self, file: LogFile, offset: u64, bytes: usize) -> Result<Vec<u8>, StorageError> {
        let read = || {
            let open = self.file(file)?;
            let mut buffer = vec![0; bytes];
            let mut have = 0;
            while have < bytes {
                match open.read_at(&mut buffer[have..], offset + have as u64) {
                    Ok(0) => break,
                    Ok(count) => have += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.truncate(have);
            Ok(buffer)
        };
        read().map_err(|source| StorageError::new("read", Some(file), source))
    }

    async fn cut(&self, segment: SegmentNumber, bytes: u64) -> Result<(), StorageError> {
        cut(&self.path(segment.into()), bytes)
            .map_err(|source| StorageError::new("cutting", Some(segment.into()), source))
    }

    async fn quarantine(&self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.open.borrow_mut().remove(&segment.into());
        set_aside(&self.path(segment.into()))
            .map_err(|source| StorageError::new("renaming", Some(segment.into()), source))
    }

    async fn delete(&self, file: LogFile) -> Result<(), StorageError> {
        self.open.borrow_mut().remove(&file);
        delete(&self.path(file)).map_err(|source| StorageError::new("deletion", Some(file), source))
    }

    async fn wait(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Runs a future over a storage whose futures are always ready, or become ready when they are polled again.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
