//! The thread that does the file operations of all shards' logs, in a glommio executor of its own: a shard never waits for a
//! file, whichever way it talks to the network.

use super::executor::executor;
use super::glommio_net::stream_of;
use crate::affinity::Place;
use crate::log_port::{LogCloser, LogDesk};
use crate::plane::StartError;
use crossbeam_channel::bounded;
use futures_lite::AsyncReadExt;
use glommio::task::JoinHandle;
use ringmq_persistence::StorageError;
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::direct::{Direct, Mode};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

/// Rings that are read at once.
const RINGS: usize = 64;

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Past the page cache where the file system can do that: somebody waits for the disk.
    PastTheCache,
    /// Through the page cache: nobody waits for more than that the kernel has it.
    ThroughTheCache,
}

/// The running thread.
#[derive(Debug)]
pub struct LogThread {
    handle: std::thread::JoinHandle<()>,
    closer: LogCloser,
}

impl LogThread {
    /// Ends the thread when it has done what it was asked.
    pub fn join(self) {
        self.closer.close();
        if self.handle.join().is_err() {
            tracing::error!("the thread of the logs ended with a panic");
        }
    }
}

/// Starts the thread for logs in these directories, one for each shard; returns when it can write to them.
///
/// # Errors
/// A directory cannot be written to, or the thread or its rings cannot be made.
pub fn spawn_log_thread(
    directories: Vec<PathBuf>,
    desk: LogDesk,
    hearing: OwnedFd,
    closer: LogCloser,
    way: Way,
) -> Result<LogThread, StartError> {
    let fail = |reason: String| StartError::Logs { reason };
    let (report, started) = bounded(1);
    let run = move || {
        // The other end waits for exactly this.
        let tell = |outcome: Result<(), StartError>| drop(report.send(outcome));
        match executor(Place::Free) {
            Ok(executor) => executor.run(async {
                match open_all(&directories, way).await {
                    Ok(storages) => {
                        tell(Ok(()));
                        serve(&storages, Rc::new(desk), hearing).await;
                    }
                    Err((directory, error)) => tell(Err(fail(format!("{}: {error}", directory.display())))),
                }
            }),
            Err(error) => tell(Err(fail(error.to_string()))),
        }
    };
    let handle = std::thread::Builder::new()
        .name("logs".to_owned())
        .spawn(run)
        .map_err(|error| fail(error.to_string()))?;
    match started.recv() {
        Ok(Ok(())) => Ok(LogThread { handle, closer }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(fail("its thread ended".to_owned())),
    }
}

async fn open_all(directories: &[PathBuf], way: Way) -> Result<Vec<Rc<Direct>>, (PathBuf, StorageError)> {
    let mut storages = Vec::with_capacity(directories.len());
    for directory in directories {
        let mut storage = Direct::open(directory).await.map_err(|error| (directory.clone(), error))?;
        if way == Way::ThroughTheCache {
            storage = Direct::buffered(directory);
        }
        storages.push(Rc::new(storage));
    }
    if let Some(storage) = storages.first() {
        let way =
            if storage.mode() == Mode::Direct { "past the page cache" } else { "through the page cache" };
        tracing::info!(way, "the logs are written");
    }
    Ok(storages)
}

async fn serve(storages: &[Rc<Direct>], desk: Rc<LogDesk>, hearing: OwnedFd) {
    let mut bell = stream_of(hearing);
    let mut rings = [0; RINGS];
    let mut under_way: Vec<JoinHandle<()>> = Vec::new();
    // The other end lives as long as this one: there is always another ring, or the closing one.
    while let Ok(1..) = bell.read(&mut rings).await {
        desk.listen();
        let is_closed = desk.is_closed();
        while let Some(order) = desk.poll_order() {
            let Some(storage) = storages.get(order.shard).map(Rc::clone) else { continue };
            let desk = Rc::clone(&desk);
            let operation = glommio::spawn_local(async move {
                let answer = storage.perform(order.operation).await;
                desk.answer(order.shard, order.ticket, answer);
            });
            under_way.push(operation.detach());
        }
        if is_closed {
            break;
        }
        under_way.clear();
    }
    for operation in under_way {
        operation.await;
    }
}
