//! A disk in memory that crashes as real ones do: what was not synced may be lost in part, sectors in any order, names
//! as well as contents. For tests; it is deterministic, given the random numbers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Listed, Storage};
use crate::error::StorageError;
use crate::format::{LogFile, SegmentNumber};

const SECTOR_BYTES: usize = 512;

/// How a crash treats what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process ends; the kernel has everything and keeps it.
    Process,
    /// The power goes: each unsynced sector and name is lost or kept by chance.
    Power,
    /// The power goes: writes survive in order, the first one that does not is torn at any byte.
    Torn,
}

/// One write that is not synced.
#[derive(Debug, Clone)]
struct Unsynced {
    /// The number of the operation.
    number: u64,
    offset: usize,
    bytes: Arc<Vec<u8>>,
}

#[derive(Debug, Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

impl Inode {
    fn apply(target: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        if target.len() < offset + bytes.len() {
            target.resize(offset + bytes.len(), 0);
        }
        target[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes durable what was written before the operation with this number.
    fn sync(&mut self, before: u64) {
        self.durable.resize(self.current.len(), 0);
        let unsynced = std::mem::take(&mut self.unsynced);
        for write in unsynced {
            if write.number < before {
                Self::apply(&mut self.durable, write.offset, &write.bytes);
            } else {
                self.unsynced.push(write);
            }
        }
    }

    fn crash(&mut self, crash: Crash, random: &mut impl FnMut(usize) -> usize) {
        let mut after = std::mem::take(&mut self.durable);
        if !self.unsynced.is_empty() || random(2) == 0 {
            after.resize(self.current.len().max(after.len()), 0);
        }
        let whole = random(self.unsynced.len() + 1);
        for (at, write) in self.unsynced.drain(..).enumerate() {
            if crash == Crash::Torn {
                let kept = match at.cmp(&whole) {
                    std::cmp::Ordering::Less => write.bytes.len(),
                    std::cmp::Ordering::Equal => random(write.bytes.len() + 1),
                    std::cmp::Ordering::Greater => 0,
                };
                Self::apply(&mut after, write.offset, &write.bytes[..kept]);
                continue;
            }
            // Mostly kept, mostly lost, or half and half.
            let odds = random(3);
            for (sector, bytes) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                let kept = [random(2) == 0, random(16) == 0, random(16) != 0][odds];
                if kept {
                    Self::apply(&mut after, write.offset + sector * SECTOR_BYTES, bytes);
                }
            }
        }
        self.durable = after.clone();
        self.current = after;
    }
}

/// What a name stands for; a change of it that is not synced.
#[derive(Debug, Clone)]
struct Renamed {
    number: u64,
    name: String,
    inode: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Renamed>,
    operations: u64,
    fail_at: Option<u64>,
    bytes_max: u64,
    stalls: u32,
}

impl State {
    fn rename(&mut self, name: &str, inode: Option<usize>) {
        match inode {
            Some(inode) => self.names.insert(name.to_owned(), inode),
            None => self.names.remove(name),
        };
        self.unsynced_names.push(Renamed { number: self.operations, name: name.to_owned(), inode });
    }

    fn bytes(&self) -> u64 {
        self.names.values().map(|&inode| self.inodes[inode].current.len() as u64).sum()
    }
}

/// A directory of a disk in memory; clones are the same directory.
#[derive(Debug, Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { state: Arc::new(Mutex::new(State { bytes_max: u64::MAX, ..State::default() })) }
    }
}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of operations so far. A sync that begins now covers those before.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Has the n-th operation from now on that changes something fail, and no other.
    pub fn fail_in(&self, operations: u64) {
        let mut state = self.state();
        state.fail_at = Some(state.operations + operations);
    }

    /// Has nothing fail.
    pub fn fail_never(&self) {
        self.state().fail_at = None;
    }

    /// Bounds the bytes of all files.
    pub fn set_bytes_max(&self, bytes: u64) {
        self.state().bytes_max = bytes;
    }

    /// Has each future come to its end only when it was polled this many times more.
    pub fn set_stalls(&self, polls: u32) {
        self.state().stalls = polls;
    }

    /// The disk crashes and starts again. `random(n)` gives a number below `n`.
    pub fn crash(&self, crash: Crash, mut random: impl FnMut(usize) -> usize) {
        let state = &mut *self.state();
        state.fail_at = None;
        if crash == Crash::Process {
            return;
        }
        for inode in &mut state.inodes {
            inode.crash(crash, &mut random);
        }
        let mut names = std::mem::take(&mut state.durable_names);
        for Renamed { name, inode, .. } in state.unsynced_names.drain(..) {
            match inode {
                _ if random(2) == 0 => {}
                Some(inode) => drop(names.insert(name, inode)),
                None => drop(names.remove(&name)),
            }
        }
        state.names = names.clone();
        state.durable_names = names;
    }

    /// A part of a write that reaches the disk although the write was never answered.
    pub fn spill(&self, file: LogFile, offset: u64, bytes: &[u8]) {
        let state = &mut *self.state();
        state.operations += 1;
        if let Some(&inode) = state.names.get(&file.name()) {
            let bytes = Arc::new(bytes.to_vec());
            Inode::apply(&mut state.inodes[inode].current, offset as usize, &bytes);
            let unsynced = Unsynced { number: state.operations, offset: offset as usize, bytes };
            state.inodes[inode].unsynced.push(unsynced);
        }
    }

    /// The contents of a file.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|&inode| state.inodes[inode].current.clone())
    }

    /// Changes the contents of a file behind everyone's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state();
        if let Some(&inode) = state.names.get(name) {
            let inode = &mut state.inodes[inode];
            change(&mut inode.current);
            inode.durable = inode.current.clone();
            inode.unsynced.clear();
        }
    }

    /// Adds a file behind everyone's back.
    pub fn add(&self, name: &str, contents: &[u8]) {
        let state = &mut *self.state();
        let (current, durable) = (contents.to_vec(), contents.to_vec());
        state.inodes.push(Inode { current, durable, unsynced: Vec::new() });
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// The names of all files.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Syncs what was written to the file before the operation with this number.
    ///
    /// # Errors
    /// As arranged.
    pub fn sync_before(&self, file: LogFile, before: u64) -> Result<(), StorageError> {
        self.change("sync", Some(file), |state| {
            let inode = find(state, file)?;
            state.inodes[inode].sync(before);
            Ok(())
        })
    }

    /// Makes names durable that were changed before the operation with this number.
    ///
    /// # Errors
    /// As arranged.
    pub fn sync_names_before(&self, before: u64) -> Result<(), StorageError> {
        self.change("sync of the directory", None, |state| {
            for Renamed { number, name, inode } in std::mem::take(&mut state.unsynced_names) {
                match inode {
                    _ if number >= before => state.unsynced_names.push(Renamed { number, name, inode }),
                    Some(inode) => drop(state.durable_names.insert(name, inode)),
                    None => drop(state.durable_names.remove(&name)),
                }
            }
            Ok(())
        })
    }

    fn change<T>(
        &self,
        operation: &'static str,
        file: Option<LogFile>,
        change: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Result<T, StorageError> {
        let state = &mut *self.state();
        state.operations += 1;
        let result = if state.fail_at == Some(state.operations) {
            Err(io::Error::other("as arranged"))
        } else {
            change(state)
        };
        result.map_err(|source| StorageError::new(operation, file, source))
    }

    async fn stall(&self) {
        let mut polls = self.state().stalls;
        std::future::poll_fn(|context| {
            if polls == 0 {
                return std::task::Poll::Ready(());
            }
            polls -= 1;
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
}

fn find(state: &State, file: LogFile) -> io::Result<usize> {
    state.names.get(&file.name()).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Storage for Memory {
    async fn list(&self) -> Result<Vec<Listed>, StorageError> {
        let state = self.state();
        let listed = |(name, &inode): (&String, &usize)| {
            let file = LogFile::of_name(name)?;
            Some(Listed { file, bytes: state.inodes[inode].current.len() as u64 })
        };
        Ok(state.names.iter().filter_map(listed).collect())
    }

    async fn create(&self, file: LogFile, bytes: u64) -> Result<(), StorageError> {
        self.stall().await;
        self.change("creation", Some(file), |state| {
            if state.bytes() + bytes > state.bytes_max {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = match find(state, file) {
                Ok(inode) => inode,
                Err(_) => {
                    state.inodes.push(Inode::default());
                    let inode = state.inodes.len() - 1;
                    state.rename(&file.name(), Some(inode));
                    inode
                }
            };
            let current = &mut state.inodes[inode].current;
            current.resize(current.len().max(bytes as usize), 0);
            Ok(())
        })
    }

    async fn write(&self, file: LogFile, offset: u64, bytes: Arc<Vec<u8>>) -> Result<(), StorageError> {
        self.stall().await;
        self.change("write", Some(file), |state| {
            let inode = find(state, file)?;
            let number = state.operations;
            let grown = (offset as usize + bytes.len()).saturating_sub(state.inodes[inode].current.len());
            if state.bytes() + grown as u64 > state.bytes_max {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let inode = &mut state.inodes[inode];
            Inode::apply(&mut inode.current, offset as usize, &bytes);
            inode.unsynced.push(Unsynced { number, offset: offset as usize, bytes });
            Ok(())
        })
    }

    async fn sync(&self, file: LogFile) -> Result<(), StorageError> {
        let before = self.operations() + 1;
        self.stall().await;
        self.sync_before(file, before)
    }

    async fn sync_directory(&self) -> Result<(), StorageError> {
        let before = self.operations() + 1;
        self.stall().await;
        self.sync_names_before(before)
    }

    async fn read(&self, file: LogFile, offset: u64, bytes: usize) -> Result<Vec<u8>, StorageError> {
        self.stall().await;
        let state = self.state();
        let inode = find(&state, file).map_err(|source| StorageError::new("read", Some(file), source))?;
        let current = &state.inodes[inode].current;
        let begin = (offset as usize).min(current.len());
        Ok(current[begin..(begin + bytes).min(current.len())].to_vec())
    }

    async fn cut(&self, segment: SegmentNumber, bytes: u64) -> Result<(), StorageError> {
        self.change("cutting", Some(segment.into()), |state| {
            let inode = find(state, segment.into())?;
            let inode = &mut state.inodes[inode];
            inode.current.truncate(bytes as usize);
            inode.durable = inode.current.clone();
            inode.unsynced.clear();
            Ok(())
        })
    }

    async fn quarantine(&self, segment: SegmentNumber) -> Result<(), StorageError> {
        self.change("renaming", Some(segment.into()), |state| {
            let inode = find(state, segment.into())?;
            state.rename(&segment.file_name(), None);
            state.rename(&format!("{}.damaged", segment.file_name()), Some(inode));
            Ok(())
        })
    }

    async fn delete(&self, file: LogFile) -> Result<(), StorageError> {
        self.change("deletion", Some(file), |state| {
            if find(state, file).is_ok() {
                state.rename(&file.name(), None);
            }
            Ok(())
        })
    }

    async fn wait(&self, _: Duration) {
        self.stall().await;
    }
}
