//! The broker of a simulated life, from one start to the next crash: its shards, and the log operations that they asked for and
//! nobody has done yet. Shards are built, restored and driven as in the real one; only disks and sockets are made up.

use super::Plan;
use super::network::{Ends, Network};
use crate::access::Everybody;
use crate::config::DataPlaneConfig;
use crate::log_port::{self, Connection, LogCloser, LogDesk, Pen};
use crate::mesh::{Signal, build_mesh};
use crate::metrics::{MetricsReader, ShardCells};
use crate::quota::Quota;
use crate::reactor::{Border, pass};
use crate::shard::{Control, ListenerTerms, Remembered, Shard, ShardParts, WallClock};
use crate::store::Kept;
use crate::transport::Layers;
use crossbeam_channel::{Sender, bounded};
use fastrand::Rng;
use ringmq_core::time::Timestamp;
use ringmq_persistence::format::{LogFile, SegmentNumber};
use ringmq_persistence::log::operation::{Answer, Operation, Ticket};
use ringmq_persistence::storage::Storage;
use ringmq_persistence::storage::files::block_on;
use ringmq_persistence::storage::memory::{Crash, Memory};
use ringmq_persistence::{OpenError, StorageError, open_machine};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// An operation that a log asked for; a sync covers what was written before it was asked for.
struct Outstanding {
    shard: usize,
    ticket: Ticket,
    operation: Operation,
    before: u64,
}

/// A shard that writes itself, unless it happens to be slow.
#[derive(Debug)]
struct SlowPen {
    disk: Memory,
    random: Rng,
}

impl Pen for SlowPen {
    fn try_write(
        &mut self,
        segment: SegmentNumber,
        offset: u64,
        bytes: &[u8],
    ) -> Option<Result<(), StorageError>> {
        (self.random.u32(..4) > 0)
            .then(|| block_on(self.disk.write(LogFile::Segment(segment), offset, Arc::new(bytes.to_vec()))))
    }
}

/// The running shards.
pub struct Life {
    pub shards: Vec<Shard>,
    pub metrics: MetricsReader,
    /// Logs that were read with the help of a checkpoint.
    pub checkpoints: usize,
    borders: Vec<Border>,
    desk: LogDesk,
    outstanding: Vec<Outstanding>,
    _open: (OwnedFd, LogCloser, Vec<Sender<Control>>),
}

impl Life {
    /// Reads the disks and starts the shards.
    ///
    /// # Errors
    /// A log cannot be opened.
    pub fn start(
        plan: &Plan,
        config: &Arc<DataPlaneConfig>,
        disks: &[Memory],
        clock: WallClock,
        now: Timestamp,
    ) -> Result<Life, OpenError> {
        let mut logs = Vec::with_capacity(plan.shards);
        let mut checkpoints = 0;
        for disk in disks {
            let mut remembered = Remembered::new(clock, config);
            let take = |id, kind, payload: &[u8]| remembered.take(id, kind, payload);
            let (log, report) = block_on(open_machine(disk, plan.log.clone(), take))?;
            assert_eq!((report.damages.len(), remembered.unreadable()), (0, 0), "a crash is no damage");
            assert_eq!(report.misfits, 0, "a checkpoint fits whatever happened since");
            checkpoints += usize::from(report.from_checkpoint.is_some());
            logs.push((log, remembered));
        }
        let (journals, mut rest) = Kept::over(logs, plan.level, clock).split();
        let meshes = build_mesh(plan.shards, config.mesh.lane_capacity, Signal::Socket).expect("descriptors");
        let limits = ListenerTerms::of(config);
        let retained = Arc::new(Quota::new(usize::MAX));
        let mut controls = Vec::new();
        let cells: Arc<[Arc<ShardCells>]> = (0..plan.shards).map(|_| Arc::default()).collect();
        let parts = meshes.into_iter().zip(journals).enumerate().map(|(index, (mesh, journal))| {
            let (control, requests) = bounded(1);
            controls.push(control);
            Shard::new(ShardParts {
                config: Arc::clone(config),
                mesh,
                shards: plan.shards,
                cells: Arc::clone(&cells[index]),
                limits: Arc::clone(&limits),
                layers: Arc::from(vec![Layers::default()]),
                access: Arc::new(Everybody),
                usage: Arc::default(),
                retained: Arc::clone(&retained),
                control: requests,
                journal,
                seed: index as u64,
                now,
            })
        });
        let mut shards: Vec<Shard> = parts.collect();
        rest.restore(&mut shards, now);
        let connected = log_port::connect(shards.iter().map(Shard::bell).collect());
        let Connection { ports, desk, hearing, closer } = connected.expect("descriptors");
        for (index, (shard, mut port)) in shards.iter_mut().zip(ports).enumerate() {
            if plan.has_pens {
                let random = Rng::with_seed(now.as_ms() + index as u64);
                port.equip(Box::new(SlowPen { disk: disks[index].clone(), random }));
            }
            shard.connect_log(port);
        }
        let borders = (0..plan.shards).map(|_| Border::new(None)).collect();
        let metrics = MetricsReader::new(cells);
        Ok(Life {
            shards,
            metrics,
            checkpoints,
            borders,
            desk,
            outstanding: Vec::new(),
            _open: (hearing, closer, controls),
        })
    }

    /// A shard has its turn.
    pub fn pass(
        &mut self,
        shard: usize,
        disks: &[Memory],
        network: &mut Network,
        random: &mut Rng,
        now: Timestamp,
    ) {
        let mut ends = Ends::new(network, random, shard);
        pass(&mut self.shards[shard], &mut ends, &mut self.borders[shard], now);
        while let Some(order) = self.desk.poll_order() {
            let before = disks[order.shard].operations() + 1;
            let log_port::Order { shard, ticket, operation } = order;
            self.outstanding.push(Outstanding { shard, ticket, operation, before });
        }
    }

    /// Does one of the operations that logs wait for, any of them; what it was.
    pub fn perform(&mut self, disks: &[Memory], random: &mut Rng) -> Option<(usize, &'static str, bool)> {
        if self.outstanding.is_empty() {
            return None;
        }
        let at = random.usize(..self.outstanding.len());
        let Outstanding { shard, ticket, operation, before } = self.outstanding.swap_remove(at);
        let disk = &disks[shard];
        let name = name_of(&operation);
        let answer = match operation {
            Operation::Sync { file } => disk.sync_before(file, before).map(|()| Answer::Done),
            Operation::SyncDirectory => disk.sync_names_before(before).map(|()| Answer::Done),
            operation => block_on(disk.perform(operation)),
        };
        let is_done = answer.is_ok();
        self.desk.answer(shard, ticket, answer);
        Some((shard, name, is_done))
    }

    /// The broker ends where it is: of the operations under way some are done, some in part, some not at all.
    pub fn crash(self, disks: &[Memory], random: &mut Rng, crash: Crash) {
        for Outstanding { shard, operation, .. } in self.outstanding {
            match operation {
                Operation::Write { file, offset, bytes } => {
                    let sectors = bytes.len() / 512;
                    let begin = if random.bool() { 0 } else { random.usize(..=sectors) * 512 };
                    let end = if random.bool() { bytes.len() } else { random.usize(begin..=bytes.len()) };
                    if random.u32(..3) > 0 {
                        disks[shard].spill(file, offset + begin as u64, &bytes[begin..end]);
                    }
                }
                Operation::Read { .. } => {}
                operation if random.bool() => drop(block_on(disks[shard].perform(operation))),
                _ => {}
            }
        }
        for disk in disks {
            disk.crash(crash, |below| random.usize(..below));
        }
    }
}

fn name_of(operation: &Operation) -> &'static str {
    match operation {
        Operation::Create { .. } => "create",
        Operation::Write { .. } => "write",
        Operation::Sync { .. } => "sync",
        Operation::SyncDirectory => "sync of the directory",
        Operation::Read { .. } => "read",
        Operation::Quarantine { .. } => "quarantine",
        Operation::Delete { .. } => "delete",
        Operation::Wait { .. } => "wait",
    }
}
