//! Whole shards in one thread, over disks that crash, under an injected clock: publishers, lanes, logs and subscribers do what a
//! seed says, step by step, and nothing that was acknowledged may get lost.
//!
//! `RINGMQ_SIM_RUNS=n` runs n seeds, `RINGMQ_SIM_SEED=n` the n-th alone; a run that fails prints its seed and its last steps.

mod checks;
mod client;
mod life;
mod network;
mod plan;
mod publisher;

use crate::config::DataPlaneConfig;
use crate::durability::DurabilityLevel;
use crate::shard::WallClock;
use checks::{Finding, Ledger};
use client::{Client, Leniency, Role};
use fastrand::Rng;
use life::Life;
use network::Network;
use plan::{BLOCK_EXCESS_MAX, Plan, QUEUE_SHORT};
use ringmq_core::codec::{ProtocolVersion, QoS};
use ringmq_core::metrics::Metric;
use ringmq_core::time::Timestamp;
use ringmq_persistence::OpenError;
use ringmq_persistence::storage::memory::{Crash, Memory};
use std::collections::VecDeque;
use std::sync::Arc;

/// Runs of one test run.
const RUNS: u64 = 5_000;
/// Steps that are told of a run that fails, unless it runs alone: then it is all of them.
const STEPS_TOLD: usize = 80;
/// Rounds in which everything must have come to rest.
const ROUNDS_MAX: usize = 5_000;
/// Rounds without anything on its way to or from clients after which everything counts as at rest: more than any write takes.
const ROUNDS_STILL: usize = 40;
/// What happened, for whoever looks for the reason.
#[derive(Debug)]
#[expect(dead_code, reason = "only ever printed")]
enum Step {
    Pass(usize),
    Up(String, usize),
    Down(String, usize),
    Publish(String),
    /// What a client was sent.
    Sent(String),
    Operation(usize, &'static str, bool),
    Clock(u64),
    Connect(String, usize),
    HangUp(String, usize),
    DiskFails(usize),
    Crash(Crash),
}

/// What the runs together must have seen: checks of what never happens show little.
#[derive(Debug, Default)]
struct Sights {
    repeats: u64,
    refusals: u64,
    full_queues: u64,
    /// Passes after which publishers were held back, where stores are large and where they are small.
    holds: [u64; 2],
    /// Messages refused because a store was full.
    store_refusals: u64,
    /// Messages dropped from stores.
    drops: u64,
    /// Bodies that were read back from logs.
    read_backs: u64,
    /// Passes after which messages of other shards waited for room.
    waits: u64,
    /// Logs that were read with the help of a checkpoint.
    checkpoints: usize,
}

struct World {
    seed: u64,
    random: Rng,
    plan: Plan,
    config: Arc<DataPlaneConfig>,
    clock: WallClock,
    now: Timestamp,
    disks: Vec<Memory>,
    life: Option<Life>,
    network: Network,
    clients: Vec<Client>,
    ledger: Ledger,
    /// A disk has been made to fail since the last start.
    is_failing: bool,
    steps: VecDeque<Step>,
    is_alone: bool,
    /// How often a queue was seen full.
    full_queues: u64,
    /// After how many passes publishers were held back.
    holds: u64,
    /// Messages dropped from stores, in the lives that are over.
    drops: u64,
    /// Bodies read back, in the lives that are over.
    read_backs: u64,
    /// After how many passes messages of other shards waited for room.
    waits: u64,
    /// Logs that were read with the help of a checkpoint.
    checkpoints: usize,
}

impl Sights {
    fn add(&mut self, world: &World) {
        self.repeats += world.ledger.repeats;
        let has_small_store = world.plan.store.is_some();
        let is_for_room = has_small_store && !world.plan.has_failure;
        *(if is_for_room { &mut self.store_refusals } else { &mut self.refusals }) += world.ledger.refusals();
        self.full_queues += world.full_queues;
        self.holds[usize::from(has_small_store)] += world.holds;
        self.drops += world.drops;
        self.read_backs += world.read_backs;
        self.waits += world.waits;
        self.checkpoints += world.checkpoints;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.steps.iter().for_each(|step| eprintln!("  {step:?}"));
            eprintln!("{:?}\nfailed with RINGMQ_SIM_SEED={}", self.plan, self.seed);
        }
    }
}

impl World {
    fn new(seed: u64, is_alone: bool) -> World {
        let mut random = Rng::with_seed(seed);
        let plan = Plan::draw(&mut random, seed);
        let config = Arc::new(plan.config(&mut random));
        let now = Timestamp::from_ms(1000);
        let (ledger, mut clients) = plan.people(&mut random);
        if is_alone {
            clients.iter_mut().for_each(|client| client.told = Some(Vec::new()));
        }
        let disks = (0..plan.shards).map(|_| Memory::default()).collect();
        let mut world = World {
            seed,
            random,
            plan,
            config,
            clock: WallClock::at(now),
            now,
            disks,
            life: None,
            network: Network::new(),
            clients,
            ledger,
            is_failing: false,
            steps: VecDeque::with_capacity(STEPS_TOLD),
            is_alone,
            full_queues: 0,
            holds: 0,
            drops: 0,
            read_backs: 0,
            waits: 0,
            checkpoints: 0,
        };
        world.start(Crash::Process);
        world
    }

    fn note(&mut self, step: Step) {
        if self.steps.len() == STEPS_TOLD && !self.is_alone {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Starts the shards, maybe after some failures and crashes on the way.
    fn start(&mut self, last_crash: Crash) {
        self.is_failing = false;
        self.disks.iter().for_each(|disk| disk.set_bytes_max(u64::MAX));
        loop {
            if self.random.u32(..8) == 0 {
                let disk = self.random.usize(..self.disks.len());
                self.disks[disk].fail_in(self.random.u64(1..4));
            }
            let opened = Life::start(&self.plan, &self.config, &self.disks, self.clock, self.now);
            self.disks.iter().for_each(Memory::fail_never);
            match opened {
                Ok(life) => {
                    self.checkpoints += life.checkpoints;
                    break self.life = Some(life);
                }
                Err(OpenError::Damaged { report }) => panic!("a crash is no damage: {report:?}"),
                Err(_) => {
                    let random = &mut self.random;
                    self.disks.iter().for_each(|disk| disk.crash(last_crash, |below| random.usize(..below)));
                }
            }
        }
    }

    /// Everything ends where it is, and starts again. Some of what was on its way to clients still comes.
    fn crash(&mut self) -> Result<(), Finding> {
        let is_power = self.plan.level == DurabilityLevel::Fsync;
        let kinds = [Crash::Process, Crash::Power, Crash::Torn];
        let crash = kinds[if is_power { self.random.usize(..3) } else { 0 }];
        self.note(Step::Crash(crash));
        for client in 0..self.clients.len() {
            if self.random.bool() {
                self.down(client, usize::MAX)?;
            }
            self.clients[client].disconnect();
        }
        self.network.clear();
        if let Some(life) = self.life.take() {
            self.drops += life.metrics.counter(Metric::DeliveryDroppedStoreFull);
            self.read_backs += life.metrics.counter(Metric::PersistenceBodiesReadBack);
            let lost = life.metrics.counter(Metric::DeliveryDroppedStoreLost);
            assert_eq!(lost, 0, "nothing is damaged");
            life.crash(&self.disks, &mut self.random, crash);
        }
        self.start(crash);
        Ok(())
    }

    fn pass(&mut self, shard: usize) -> Result<(), Finding> {
        let Some(life) = &mut self.life else { return Ok(()) };
        life.pass(shard, &self.disks, &mut self.network, &mut self.random, self.now);
        self.holds += u64::from(life.shards[shard].held() > 0);
        self.waits += u64::from(life.shards[shard].has_waiting_forwards());
        let excess = if self.plan.blocks { BLOCK_EXCESS_MAX } else { 0 };
        for client in self.clients.iter().filter(|_| self.plan.has_short_queues) {
            let queued = life.shards[shard].queued(&client.name);
            self.full_queues += u64::from(queued == QUEUE_SHORT);
            if queued > QUEUE_SHORT + excess {
                return Err(Finding(format!("{} has {queued} messages queued", client.name)));
            }
        }
        Ok(())
    }

    fn perform(&mut self) -> bool {
        let Some(life) = &mut self.life else { return false };
        let Some((shard, name, is_done)) = life.perform(&self.disks, &mut self.random) else { return false };
        self.note(Step::Operation(shard, name, is_done));
        true
    }

    fn connect(&mut self, client: usize) {
        if self.clients[client].line.is_some() {
            return;
        }
        let shard = self.random.usize(..self.plan.shards);
        let line = self.network.connect(shard);
        let bytes = self.clients[client].connect(line);
        self.network.write(line, &bytes);
        self.note(Step::Connect(self.clients[client].name.clone(), shard));
    }

    fn hang_up(&mut self, client: usize, is_orderly: bool) {
        if is_orderly
            && self.clients[client].is_ready
            && let Some(line) = self.clients[client].line
        {
            let bytes = self.clients[client].goodbye();
            self.network.write(line, &bytes);
        }
        let Some(line) = self.clients[client].disconnect() else { return };
        let lost = if is_orderly { 0 } else { self.random.usize(..600) };
        self.network.hang_up(line, lost);
        self.note(Step::HangUp(self.clients[client].name.clone(), lost));
    }

    /// Bytes come to a client; whether there were any.
    fn down(&mut self, client: usize, max: usize) -> Result<bool, Finding> {
        let Some(line) = self.clients[client].line else { return Ok(false) };
        let has_moved = self.network.carry_down(line, max);
        let bytes = self.network.read(line, max);
        let leniency = Leniency(self.is_failing || self.plan.store.is_some());
        if !bytes.is_empty() {
            self.note(Step::Down(self.clients[client].name.clone(), bytes.len()));
            let handled = self.clients[client].handle_bytes(&bytes, leniency, &mut self.ledger);
            for told in self.clients[client].told.as_mut().map(std::mem::take).unwrap_or_default() {
                self.note(Step::Sent(told));
            }
            let (answer, goes_on) = handled?;
            self.network.write(line, &answer);
            if !goes_on {
                self.hang_up(client, false);
                return Ok(true);
            }
        }
        if self.network.is_at_end(line) {
            self.hang_up(client, false);
        }
        Ok(has_moved || !bytes.is_empty())
    }

    fn up(&mut self, client: usize, max: usize) -> bool {
        self.clients[client].line.is_some_and(|line| self.network.carry_up(line, max))
    }

    fn publish(&mut self, client: usize) -> bool {
        let Some(line) = self.clients[client].line else { return false };
        let Some(bytes) = self.clients[client].publish(&mut self.ledger) else { return false };
        self.network.write(line, &bytes);
        self.note(Step::Publish(self.clients[client].name.clone()));
        true
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.note(Step::Clock(ms));
    }

    fn fail_disk(&mut self) {
        let disk = self.random.usize(..self.disks.len());
        if self.random.bool() {
            self.disks[disk].fail_in(self.random.u64(1..20));
        } else {
            self.disks[disk].set_bytes_max(self.random.u64(..64 << 10));
        }
        self.is_failing = true;
        self.note(Step::DiskFails(disk));
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), Finding> {
        let client = self.random.usize(..self.clients.len());
        let length = [1 + self.random.usize(..40), usize::MAX][self.random.usize(..2)];
        match self.random.u32(..1000) {
            0..=299 => {
                let shard = self.random.usize(..self.plan.shards);
                self.note(Step::Pass(shard));
                self.pass(shard)?;
            }
            300..=499 if self.up(client, length) => {
                self.note(Step::Up(self.clients[client].name.clone(), length));
            }
            500..=699 => drop(self.down(client, length)?),
            700..=849 => drop(self.perform()),
            850..=929 => drop(self.publish(client)),
            930..=979 => self.connect(client),
            980..=987 => {
                let is_orderly = self.random.u32(..4) == 0;
                self.hang_up(client, is_orderly);
            }
            988..=997 => {
                let ms_max = if self.random.u32(..10) == 0 { 20_000 } else { 50 };
                let ms = self.random.u64(1..ms_max);
                self.advance(ms);
            }
            998.. if self.plan.has_failure => self.fail_disk(),
            _ => {}
        }
        Ok(())
    }

    /// Everybody connects, but for those left out, and everything happens that can, until nothing is left.
    fn settle(&mut self, left_out: &[usize]) -> Result<(), Finding> {
        let mut still = 0;
        for _ in 0..ROUNDS_MAX {
            let mut is_moving = false;
            for client in 0..self.clients.len() {
                if left_out.contains(&client) {
                    continue;
                }
                self.connect(client);
                while self.publish(client) {}
                is_moving |= self.up(client, usize::MAX) | self.down(client, usize::MAX)?;
            }
            for line in self.network.lines().collect::<Vec<_>>() {
                self.network.carry_down(line, usize::MAX);
            }
            for shard in 0..self.plan.shards {
                self.pass(shard)?;
            }
            // A log that tidies up keeps nobody waiting.
            while self.perform() {}
            self.advance(1);
            is_moving |= !self.network.is_still();
            let is_done =
                |(at, client): (usize, &Client)| left_out.contains(&at) || client.is_done(&self.ledger);
            still = if is_moving || !self.clients.iter().enumerate().all(is_done) { 0 } else { still + 1 };
            if still == ROUNDS_STILL {
                return Ok(());
            }
        }
        Err(Finding("nothing comes to rest".to_owned()))
    }

    /// The whole life.
    fn run(&mut self) -> Result<(), Finding> {
        for _ in 0..self.plan.crashes {
            let length = self.random.usize(50..1_000);
            for _ in 0..length {
                self.step()?;
            }
            self.crash()?;
        }
        // Some subscribers come back only after a last crash: what they missed must be there.
        let mut late: Vec<usize> = (0..self.clients.len()).collect();
        // Where publishers are held back for their sake they come at once: nobody else makes room.
        let may_be_late = !self.plan.needs_subscribers();
        late.retain(|at| {
            may_be_late && matches!(self.clients[*at].role, Role::Subscriber(_)) && self.random.bool()
        });
        self.settle(&late)?;
        self.crash()?;
        self.settle(&[])?;
        self.ledger.check_end()?;
        let reader = self.ledger.add_reader(vec!["r/#"], QoS::ExactlyOnce);
        self.clients.push(Client::subscriber(reader, ProtocolVersion::V311, 10).clean());
        self.settle(&[])?;
        self.ledger.check_retained(reader)
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[test]
fn whole_shards_keep_what_they_acknowledge_through_every_crash() {
    let alone = number("RINGMQ_SIM_SEED");
    let seeds = match alone {
        Some(seed) => seed..seed + 1,
        None => 0..number("RINGMQ_SIM_RUNS").unwrap_or(RUNS),
    };
    let runs = seeds.end - seeds.start;
    let mut sights = Sights::default();
    for seed in seeds {
        let mut world = World::new(seed, alone.is_some());
        if let Err(Finding(finding)) = world.run() {
            panic!("{finding}");
        }
        sights.add(&world);
    }
    let Sights { repeats, refusals, full_queues, holds, drops, read_backs, waits, checkpoints, .. } = sights;
    let others = [drops, read_backs, waits, checkpoints as u64];
    let seen = [repeats, refusals, full_queues, holds[0], holds[1]].into_iter().chain(others);
    let least = seen.min().unwrap_or(0);
    assert!(runs < 1_000 || least > runs / 10, "{sights:?} in {runs} runs");
}
