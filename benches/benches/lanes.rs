//! What a message costs on its way between two shards: the mesh's own ring beside rtrb and glommio's queue, and the mesh
//! above it. Run by `cargo bench -p ringmq-benches --bench lanes`.
//!
//! `alone` is one thread at both ends (instructions, no cache traffic), `hop` is half a round trip between two threads,
//! `stream` is one thread sending to another as fast as it can. `mesh_hop` is half a round trip between two shards, which
//! either look for messages all the time (`busy`) or sleep on their doorbells until rung (`parked`). Compare only numbers
//! of one run. What the mesh costs on one thread is measured in `hot/mesh.rs`.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ringmq_core::routing::ShardId;
use ringmq_shards::mesh::{Mesh, Signal, build_mesh, ring};
use std::collections::VecDeque;
use std::hint::{black_box, spin_loop};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// As large as a publication by reference: a pointer, a set of targets, a few fields.
type Message = [u64; 6];

const CAPACITY: usize = 1024;
const BATCHES: [usize; 2] = [1, 64];
/// The last message to a thread that echoes.
const STOP: Message = [u64::MAX; 6];
/// The longest a parked shard sleeps; the other one answers in microseconds.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Spins before the thread gives its core away; the measuring machine may have no two cores free.
const SPINS_MAX: u32 = 200;

/// The sending end of a queue under test, used in the way that suits it best.
trait Sending: Send + 'static {
    /// Moves what fits from the front of `batch`.
    fn send(&mut self, batch: &mut VecDeque<Message>);
}

/// The receiving end.
trait Receiving: Send + 'static {
    /// Hands at most `budget` messages over and returns how many.
    fn receive(&mut self, budget: usize, handle: impl FnMut(Message)) -> usize;
}

impl Sending for ring::Producer<Message> {
    fn send(&mut self, batch: &mut VecDeque<Message>) {
        self.push_batch(batch);
    }
}

impl Receiving for ring::Consumer<Message> {
    fn receive(&mut self, budget: usize, handle: impl FnMut(Message)) -> usize {
        self.drain(budget, handle).0
    }
}

impl Sending for rtrb::Producer<Message> {
    fn send(&mut self, batch: &mut VecDeque<Message>) {
        if batch.len() == 1 {
            if let Some(message) = batch.pop_front()
                && let Err(rtrb::PushError::Full(message)) = self.push(message)
            {
                batch.push_front(message);
            }
            return;
        }
        // Asking for the whole batch reads the other side's index only if need be, `slots` reads it always.
        let fits = self.write_chunk_uninit(batch.len()).is_ok();
        let count = if fits { batch.len() } else { self.slots().min(batch.len()) };
        if let Ok(chunk) = self.write_chunk_uninit(count) {
            chunk.fill_from_iter(batch.drain(..count));
        }
    }
}

impl Receiving for rtrb::Consumer<Message> {
    fn receive(&mut self, budget: usize, mut handle: impl FnMut(Message)) -> usize {
        if budget == 1 {
            return self.pop().map(&mut handle).is_ok().into();
        }
        let count = self.slots().min(budget);
        if let Ok(chunk) = self.read_chunk(count) {
            chunk.into_iter().for_each(handle);
        }
        count
    }
}

impl Sending for glommio::channels::spsc_queue::Producer<Message> {
    fn send(&mut self, batch: &mut VecDeque<Message>) {
        while let Some(message) = batch.pop_front() {
            if let Some(message) = self.try_push(message) {
                return batch.push_front(message);
            }
        }
    }
}

impl Receiving for glommio::channels::spsc_queue::Consumer<Message> {
    fn receive(&mut self, budget: usize, mut handle: impl FnMut(Message)) -> usize {
        let mut count = 0;
        while count < budget
            && let Some(message) = self.try_pop()
        {
            handle(message);
            count += 1;
        }
        count
    }
}

/// Calls `attempt` until it says that it got on.
fn until(mut attempt: impl FnMut() -> bool) {
    let mut spins = 0;
    while !attempt() {
        spins += 1;
        if spins % SPINS_MAX == 0 {
            std::thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

fn send_all(sending: &mut impl Sending, batch: &mut VecDeque<Message>) {
    until(|| {
        sending.send(batch);
        batch.is_empty()
    });
}

fn receive_all(receiving: &mut impl Receiving, wanted: usize, mut handle: impl FnMut(Message)) {
    let mut missing = wanted;
    until(|| {
        missing -= receiving.receive(missing, &mut handle);
        missing == 0
    });
}

/// Time for `rounds` batches in and out on one thread.
fn time_alone(
    (mut sending, mut receiving): (impl Sending, impl Receiving),
    batch: usize,
    rounds: u64,
) -> Duration {
    let mut staged = VecDeque::with_capacity(batch);
    let start = Instant::now();
    for round in 0..rounds {
        staged.extend((0..batch).map(|_| [round; 6]));
        sending.send(&mut staged);
        receiving.receive(batch, |message| {
            black_box(message);
        });
    }
    start.elapsed()
}

/// Half the time for `rounds` batches to another thread and back.
fn time_hop<S: Sending, R: Receiving>(make: fn(usize) -> (S, R), batch: usize, rounds: u64) -> Duration {
    let (mut there, mut arriving) = make(CAPACITY);
    let (mut back, mut returning) = make(CAPACITY);
    let echo = std::thread::spawn(move || {
        let mut staged = VecDeque::with_capacity(batch);
        let mut stopped = false;
        while !stopped {
            receive_all(&mut arriving, batch, |message| {
                stopped = message == STOP;
                staged.push_back(message);
            });
            send_all(&mut back, &mut staged);
        }
    });
    let mut staged = VecDeque::with_capacity(batch);
    let mut round_trip = |message: Message| {
        staged.extend(std::iter::repeat_n(message, batch));
        send_all(&mut there, &mut staged);
        receive_all(&mut returning, batch, |message| {
            black_box(message);
        });
    };
    let start = Instant::now();
    (0..rounds).for_each(|round| round_trip([round; 6]));
    let elapsed = start.elapsed();
    round_trip(STOP);
    join(echo);
    elapsed / 2
}

/// Time until another thread has received `rounds` batches.
fn time_stream<S: Sending, R: Receiving>(make: fn(usize) -> (S, R), batch: usize, rounds: u64) -> Duration {
    let (mut sending, mut receiving) = make(CAPACITY);
    let start = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut staged = VecDeque::with_capacity(batch);
        for round in 0..rounds {
            staged.extend(std::iter::repeat_n([round; 6], batch));
            send_all(&mut sending, &mut staged);
        }
    });
    for _ in 0..rounds {
        receive_all(&mut receiving, batch, |message| {
            black_box(message);
        });
    }
    let elapsed = start.elapsed();
    join(sender);
    elapsed
}

fn join(thread: std::thread::JoinHandle<()>) {
    thread.join().expect("the other thread does not panic");
}

/// One kind of measurement of one kind of queue, for each batch size.
fn measure<S: Sending, R: Receiving>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    queue: &str,
    make: fn(usize) -> (S, R),
    time: impl Fn(fn(usize) -> (S, R), usize, u64) -> Duration,
) {
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(BenchmarkId::new(queue, batch), |bencher| {
            bencher.iter_custom(|rounds| time(make, batch, rounds));
        });
    }
}

fn rings(criterion: &mut Criterion) {
    let glommio = glommio::channels::spsc_queue::make::<Message>;
    macro_rules! measure_all {
        ($name:literal, $time:expr) => {
            let mut group = criterion.benchmark_group($name);
            measure(&mut group, "own", ring::ring, $time);
            measure(&mut group, "rtrb", rtrb::RingBuffer::new, $time);
            measure(&mut group, "glommio", glommio, $time);
            group.finish();
        };
    }
    measure_all!("alone", |make, batch, rounds| time_alone(make(CAPACITY), batch, rounds));
    measure_all!("hop", time_hop);
    measure_all!("stream", time_stream);
}

/// How a shard waits for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It looks again and again.
    Busy,
    /// It parks and sleeps on its doorbell.
    Parked,
}

/// A shard with nothing but its mesh and its doorbell.
struct Shard {
    mesh: Mesh<Message>,
    doorbell: UnixStream,
    waiting: Waiting,
}

impl Shard {
    fn new(mut mesh: Mesh<Message>, waiting: Waiting) -> Shard {
        let doorbell = UnixStream::from(mesh.doorbell().expect("descriptors are to be had"));
        // The reactor polls; here a read that blocks is the sleep, and it ends should nobody ring.
        doorbell.set_nonblocking(false).expect("a socket of ours");
        doorbell.set_read_timeout(Some(SLEEP_MAX)).expect("a socket of ours");
        Shard { mesh, doorbell, waiting }
    }

    fn send(&mut self, to: ShardId, message: Message, batch: usize) {
        (0..batch).for_each(|_| self.mesh.stage(to, message));
        assert!(!self.mesh.flush(), "a lane holds more than a batch");
    }

    /// Waits for a batch and returns its last message.
    fn receive(&mut self, batch: usize) -> Message {
        let (mut missing, mut last) = (batch, STOP);
        until(|| {
            missing -= self.mesh.receive(missing, |_, message| last = black_box(message));
            if missing > 0 && self.waiting == Waiting::Parked {
                self.sleep();
            }
            missing == 0
        });
        last
    }

    fn sleep(&mut self) {
        if !self.mesh.park() {
            return;
        }
        let rung = (&self.doorbell).read(&mut [0; 64]);
        self.mesh.unpark();
        assert!(rung.is_ok(), "nobody rang: {rung:?}");
    }
}

/// Half the time for `rounds` batches to another shard and back.
fn time_mesh_hop(waiting: Waiting, batch: usize, rounds: u64) -> Duration {
    let meshes = build_mesh::<Message>(2, CAPACITY, Signal::Socket).expect("descriptors are to be had");
    let mut shards = meshes.into_iter().map(|mesh| Shard::new(mesh, waiting));
    let (mut near, mut far) = (shards.next().expect("two shards"), shards.next().expect("two shards"));
    let echo = std::thread::spawn(move || {
        loop {
            let message = far.receive(batch);
            far.send(ShardId(0), message, batch);
            if message == STOP {
                return far;
            }
        }
    });
    let start = Instant::now();
    for round in 0..rounds {
        near.send(ShardId(1), [round; 6], batch);
        near.receive(batch);
    }
    let elapsed = start.elapsed();
    near.send(ShardId(1), STOP, batch);
    near.receive(batch);
    echo.join().expect("the other thread does not panic");
    elapsed / 2
}

fn mesh_hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh_hop");
    for (waiting, name) in [(Waiting::Busy, "busy"), (Waiting::Parked, "parked")] {
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |bencher| {
                bencher.iter_custom(|rounds| time_mesh_hop(waiting, batch, rounds));
            });
        }
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    rings(&mut criterion);
    mesh_hops(&mut criterion);
    criterion.final_summary();
}
