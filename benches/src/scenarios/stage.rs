//! The loop of one worker, and a stage of a run: clients connect, do one thing completely, and leave.
//!
//! It leads and waits, always within a bound; what is done and verified is the actor's part.

use crate::args::TargetArguments;
use crate::clock::Clock;
use crate::live;
use crate::net::client::Greeting;
use crate::net::engine::{Driver, Engine};
use crate::net::opener::Opener;
use crate::net::pinger::Pinger;
use crate::net::{syscalls, wire};
use crate::observe::observer::{Observer, Sample};
use crate::phase::{Phase, Shared, Totals, Workers};
use anyhow::{Result, bail, ensure};
use std::thread;
use std::time::Duration;

/// A worker without events looks at the phase this often.
const TURN_MAX: Duration = Duration::from_millis(5);
/// All connections together have this long, and a second more for every 500.
const OPENING_MAX: Duration = Duration::from_secs(30);
/// A broker has this long to close the connections of clients that said they leave.
const LEAVING_MAX: Duration = Duration::from_secs(1);
/// When a stage is complete, what should not come has this long to come after all.
const QUIET: Duration = Duration::from_millis(300);

/// The clients of one worker.
pub trait Actor: Driver {
    /// What they found.
    type Outcome;

    /// How many clients there are to be opened.
    fn clients(&self) -> u32;

    /// What client `index` says first, and its number among all clients of the run.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn greeting(&self, index: u32) -> Result<(u32, Greeting)>;

    /// Does what a newly declared phase asks for; called once a turn.
    fn enter(&mut self, phase: Phase, now_ns: u64);

    /// How soon there is something to do without an event; `None` for whenever.
    fn wait_max(&self, _now_ns: u64) -> Option<Duration> {
        None
    }

    /// Publishes the worker's counters to the main thread.
    fn tell_progress(&self);

    /// What was found, when nothing more is expected.
    fn into_outcome(self) -> Self::Outcome;
}

/// Opens the actor's clients and lets them act until the main thread says stop. `pause` is slept after each turn.
///
/// # Errors
/// When epoll or the encoding of a packet fails.
pub fn work<A: Actor>(
    target: &TargetArguments,
    pause: Duration,
    shared: &Shared,
    clock: Clock,
    mut actor: A,
) -> Result<A::Outcome> {
    let timeout = Duration::from_secs(target.connect_timeout);
    syscalls::set_timer_slack();
    let mut engine = Engine::new(target.address()?, target.version(), timeout, clock)?;
    let connecting_max = target.connecting_max / u32::from(target.threads);
    let mut opener = Opener::new(actor.clients(), connecting_max, 0.0, clock.now_ns());
    let mut pinger = Pinger::for_silent(target.keep_alive, actor.clients(), clock.now_ns());
    let pingreq = wire::ping(target.version())?;
    loop {
        let phase = shared.phase();
        if phase == Phase::Stopping {
            break;
        }
        let now_ns = clock.now_ns();
        actor.enter(phase, now_ns);
        while let Some(index) = opener.poll_due(engine.connecting(), now_ns) {
            let (source, greeting) = actor.greeting(index)?;
            engine.open(&mut actor, source, greeting);
        }
        while let Some(index) = pinger.poll_due(now_ns) {
            engine.ping_silent(index, &pingreq);
        }
        let wait = actor.wait_max(now_ns).map_or(TURN_MAX, |wait| wait.min(TURN_MAX));
        engine.turn(&mut actor, wait)?;
        actor.tell_progress();
        if phase != Phase::Opening && !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    engine.leave(&wire::disconnect(target.version())?, LEAVING_MAX);
    Ok(actor.into_outcome())
}

/// Waits until all clients are connected and whatever else `is_ready` asks for.
///
/// # Errors
/// When a client was refused or lost, or time is up.
pub fn wait_opened<R: Send + 'static>(
    workers: &Workers<R>,
    clients: u64,
    more: Duration,
    mut is_ready: impl FnMut(&Totals) -> bool,
) -> Result<()> {
    live::expect_clients(clients);
    let wait_max = OPENING_MAX + Duration::from_secs(clients / 500) + more;
    let has_failed = |totals: &Totals| totals.failed + totals.disconnected > 0;
    let is_over = workers.wait_for(wait_max, |totals| {
        let is_ready = is_ready(totals);
        (is_ready && totals.ready == clients) || has_failed(totals)
    });
    let totals = workers.shared().totals();
    if has_failed(&totals) {
        let cause = workers.shared().first_failure().unwrap_or_else(|| "without a cause".to_owned());
        bail!("a client could not connect or subscribe: {cause}");
    }
    ensure!(is_over, "only {} of {clients} clients are ready after {wait_max:?}", totals.ready);
    Ok(())
}

/// How a stage went.
#[derive(Debug)]
pub struct Stage<R> {
    /// When the clients began to act.
    pub before: Sample,
    /// When they had done all, or their time was up.
    pub after: Sample,
    /// What the workers found.
    pub outcomes: Vec<R>,
    /// Whether they had done all.
    pub is_complete: bool,
    /// The first cause of a failure.
    pub first_failure: Option<String>,
}

/// What a stage is told.
#[derive(Debug, Clone, Copy)]
pub struct StageBounds {
    /// Worker threads.
    pub threads: u16,
    /// Clients of all workers.
    pub clients: u32,
    /// Time to do all, connecting not counted unless it is measured.
    pub wait_max: Duration,
    /// Whether connecting is what the clients do.
    pub is_connecting_measured: bool,
}

impl<R: Send + 'static> Stage<R> {
    /// Runs `work` in every worker thread from connecting to the end.
    ///
    /// # Errors
    /// When clients do not connect, or a worker fails.
    pub fn run(
        bounds: StageBounds,
        observer: &mut Observer,
        work: impl Fn(u16, &Shared) -> Result<R> + Clone + Send + 'static,
    ) -> Result<Stage<R>> {
        let mut before = observer.sample(Totals::default());
        let workers = Workers::start(bounds.threads, work)?;
        if !bounds.is_connecting_measured {
            let opened = wait_opened(&workers, u64::from(bounds.clients), Duration::ZERO, |totals| {
                observer.look(totals);
                true
            });
            if let Err(cause) = opened {
                workers.stop()?;
                return Err(cause);
            }
            before = observer.sample(workers.shared().totals());
        }
        workers.enter(Phase::Measuring);
        let is_complete = workers.wait_for(bounds.wait_max, |totals| {
            observer.look(totals);
            totals.drained || totals.failed + totals.disconnected > 0
        });
        let after = observer.sample(workers.shared().totals());
        workers.wait_for(QUIET, |totals| observer.look(totals));
        observer.end_stage(&workers.shared().totals());
        let first_failure = workers.shared().first_failure();
        let is_complete = is_complete && after.totals.drained;
        Ok(Stage { before, after, outcomes: workers.stop()?, is_complete, first_failure })
    }
}
