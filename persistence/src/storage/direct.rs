//! A log through glommio's io_uring: past the page cache (O_DIRECT) where the file system allows it, buffered where
//! not. It runs inside a glommio executor only. What happens once, at opening, uses blocking calls, and so do writes through the
//! page cache: they copy memory, which takes less than to have a worker of the kernel do it. Where the kernel holds back writers
//! because too much of its cache is unwritten, all logs of the thread wait, as their disks do.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::OpenOptions as StdOpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use glommio::io::{BufferedFile, Directory, DmaFile, OpenOptions};
use rustix::fs::OFlags;

use super::{Listed, Storage, files};
use crate::error::StorageError;
use crate::format::{BLOCK_BYTES, LogFile, SegmentNumber};

/// Bytes of one system call.
const CALL_BYTES_MAX: usize = 1 << 20;
const TMPFS_MAGIC: i64 = 0x0102_1994;
const OVERLAY_MAGIC: i64 = 0x794c_7630;

/// How the files of a directory are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Past the page cache.
    Direct,
    /// Through the page cache.
    Buffered,
}

#[derive(Debug)]
enum File {
    Direct(DmaFile),
    Buffered(BufferedFile, std::fs::File),
}

/// A directory.
#[derive(Debug)]
pub struct Direct {
    directory: PathBuf,
    mode: Mode,
    open: RefCell<HashMap<LogFile, Rc<File>>>,
}

impl Direct {
    /// A log in this directory, which is created if it does not exist. Tries whether direct IO works there.
    ///
    /// # Errors
    /// The directory cannot be created or written to.
    pub async fn open(directory: &Path) -> Result<Self, StorageError> {
        let opening = async {
            std::fs::create_dir_all(directory)?;
            probe(directory).await
        };
        let mode =
            opening.await.map_err(|source| StorageError::new("opening the directory", None, source))?;
        Ok(Self { directory: directory.to_owned(), mode, open: RefCell::default() })
    }

    /// A log in this directory, which exists, through the page cache whatever works there.
    pub fn buffered(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), mode: Mode::Buffered, open: RefCell::default() }
    }

    /// How files are written here; the user logs it once.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    fn path(&self, file: LogFile) -> PathBuf {
        self.directory.join(file.name())
    }

    async fn file(&self, which: LogFile, creates: bool) -> io::Result<Rc<File>> {
        if let Some(file) = self.open.borrow().get(&which) {
            return Ok(file.clone());
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(creates);
        let path = self.path(which);
        let file = match self.mode {
            Mode::Direct => File::Direct(options.dma_open(&path).await?),
            Mode::Buffered => {
                let file = options.buffered_open(&path).await?;
                File::Buffered(file, StdOpenOptions::new().write(true).open(&path)?)
            }
        };
        // Another read may have opened it meanwhile; then there is one file too many until it is dropped.
        Ok(self.open.borrow_mut().entry(which).or_insert_with(|| Rc::new(file)).clone())
    }

    /// Lets go of a file; operations in flight keep it until they end.
    async fn release(&self, which: LogFile) -> io::Result<()> {
        let file = self.open.borrow_mut().remove(&which);
        match file.and_then(|file| Rc::try_unwrap(file).ok()) {
            Some(File::Direct(file)) => Ok(file.close().await?),
            Some(File::Buffered(file, _)) => Ok(file.close().await?),
            None => Ok(()),
        }
    }
}

/// Whether direct IO works in this directory.
async fn probe(directory: &Path) -> io::Result<Mode> {
    let magic = rustix::fs::statfs(directory)?.f_type;
    if [TMPFS_MAGIC, OVERLAY_MAGIC].contains(&magic) || !is_device_described(directory)? {
        return Ok(Mode::Buffered);
    }
    let path = directory.join("probe");
    let mode = probe_file(&path).await;
    files::delete(&path)?;
    mode
}

async fn probe_file(path: &Path) -> io::Result<Mode> {
    let mut file = StdOpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(&[0; BLOCK_BYTES])?;
    file.sync_all()?;
    let flags = OFlags::DIRECT.bits() as i32;
    match StdOpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Mode::Buffered),
        Err(error) => return Err(error),
    }
    // With the first file that it opens on a device glommio finds out, once for the thread, whether reads there can be
    // polled for. Where they cannot, an empty file makes it believe that they can, and every later read fails.
    let file = OpenOptions::new().read(true).write(true).dma_open(path).await?;
    let read = file.read_at_aligned(0, BLOCK_BYTES).await;
    file.close().await?;
    Ok(if read.is_ok_and(|read| read.len() == BLOCK_BYTES) { Mode::Direct } else { Mode::Buffered })
}

/// glommio asks sysfs about the device and panics where the answer is incomplete, as in some containers.
fn is_device_described(directory: &Path) -> io::Result<bool> {
    let major = rustix::fs::major(std::fs::metadata(directory)?.dev());
    let device = PathBuf::from(format!("/sys/dev/block/{major}:0"));
    if !device.exists() {
        return Ok(true);
    }
    let queue = device.join("queue");
    let numbers = [
        "rotational",
        "minimum_io_size",
        "optimal_io_size",
        "logical_block_size",
        "physical_block_size",
        "max_sectors_kb",
        "max_segment_size",
    ];
    let text = |name: &str| std::fs::read_to_string(queue.join(name)).unwrap_or_default();
    let has_numbers = numbers.iter().all(|name| text(name).trim_matches('\n').parse::<isize>().is_ok());
    let has_blocks = text("logical_block_size").trim().parse().is_ok_and(|bytes: usize| bytes <= BLOCK_BYTES);
    let has_cache = ["write back", "write through"].contains(&text("write_cache").trim_matches('\n'));
    Ok(has_numbers && has_blocks && has_cache && device.join("slaves").is_dir())
}

async fn write_direct(file: &DmaFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let part = &bytes[done..bytes.len().min(done + CALL_BYTES_MAX)];
        let mut buffer = file.alloc_dma_buffer(part.len());
        buffer.as_bytes_mut()[..part.len()].copy_from_slice(part);
        // A short write is repeated from a block's begin.
        let written = file.write_at(buffer, offset + done as u64).await? / BLOCK_BYTES * BLOCK_BYTES;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        done += written;
    }
    Ok(())
}

async fn read_all(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes);
    while out.len() < bytes {
        let (at, left) = (offset + out.len() as u64, (bytes - out.len()).min(CALL_BYTES_MAX));
        let read = match file {
            File::Direct(file) => file.read_at_aligned(at, left).await?,
            File::Buffered(file, _) => file.read_at(at, left).await?,
        };
        out.extend_from_slice(&read);
        // A file ends where a read is short, which need not be at a block's end; a direct read could not go on there.
        if read.len() < left && (matches!(file, File::Direct(_)) || read.is_empty()) {
            break;
        }
    }
    Ok(out)
}

impl Storage for Direct {
    async fn list(&self) -> Result<Vec<Listed>, StorageError> {
        files::list(&self.directory)
            .map_err(|source| StorageError::new("listing the directory", None, source))
    }

    async fn create(&self, file: LogFile, bytes: u64) -> Result<(), StorageError> {
        let create = async {
            match &*self.file(file, true).await? {
                _ if bytes == 0 => {}
                File::Direct(open) => open.pre_allocate(bytes, false).await?,
                File::Buffered(open, _) => open.pre_allocate(bytes, false).await?,
            }
            io::Result::Ok(())
        };
        create.await.map_err(|source| StorageError::new("creation", Some(file), source))
    }

    async fn write(&self, file: LogFile, offset: u64, bytes: Arc<Vec<u8>>) -> Result<(), StorageError> {
        let write = async {
            match &*self.file(file, false).await? {
                File::Direct(open) => write_direct(open, offset, &bytes).await,
                File::Buffered(_, open) => open.write_all_at(&bytes, offset),
            }
        };
        write.await.map_err(|source| StorageError::new("write", Some(file), source))
    }

    async fn sync(&self, file: LogFile) -> Result<(), StorageError> {
        let sync = async {
            match &*self.file(file, false).await? {
                File::Direct(open) => open.fdatasync().await?,
                File::Buffered(open, _) => open.fdatasync().await?,
            }
            io::Result::Ok(())
        };
        sync.await.map_err(|source| StorageError::new("sync", Some(file), source))
    }

    async fn sync_directory(&self) -> Result<(), StorageError> {
        let sync = async {
            let directory = Directory::open(&self.directory).await?;
            directory.sync().await?;
            directory.close().await?;
            io::Result::Ok(())
        };
        sync.await.map_err(|source| StorageError::new("sync of the directory", None, source))
    }

    async fn read(&self, file: LogFile, offset: u64, bytes: usize) -> Result<Vec<u8>, StorageError> {
        let read = async { read_all(&*self.file(file, false).await?, offset, bytes).await };
        read.await.map_err(|source| StorageError::new("read", Some(file), source))
    }

    async fn cut(&self, segment: SegmentNumber, bytes: u64) -> Result<(), StorageError> {
        files::cut(&self.path(segment.into()), bytes)
            .map_err(|source| StorageError::new("cutting", Some(segment.into()), source))
    }

    async fn quarantine(&self, segment: SegmentNumber) -> Result<(), StorageError> {
        let rename = async {
            self.release(segment.into()).await?;
            files::set_aside(&self.path(segment.into()))
        };
        rename.await.map_err(|source| StorageError::new("renaming", Some(segment.into()), source))
    }

    async fn delete(&self, file: LogFile) -> Result<(), StorageError> {
        let delete = async {
            self.release(file).await?;
            match glommio::io::remove(self.path(file)).await.map_err(io::Error::from) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            }
        };
        delete.await.map_err(|source| StorageError::new("deletion", Some(file), source))
    }

    async fn wait(&self, duration: Duration) {
        glommio::timer::sleep(duration).await;
    }
}
