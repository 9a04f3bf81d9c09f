//! What a message costs on its way between two shards: the mesh's own ring beside rtrb and glommio's queue, and the mesh
//! above it. Run by `cargo bench -p ringmq-benches --bench lanes`.
//!
//! `alone` is one thread at both ends (instructions, no cache traffic), `hop` is half a round trip between two threads,
//! `stream` is one thread sending to another as fast as it can. Compare only numbers of one run. It never measures the
//! doorbells: nobody sleeps here.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use ringmq_core::routing::ShardId;
use ringmq_shards::mesh::{build_mesh, ring};
use std::collections::VecDeque;
use std::hint::{black_box, spin_loop};
use std::time::{Duration, Instant};

/// As large as a publication by reference: a pointer, a set of targets, a few fields.
type Message = [u64; 6];

const CAPACITY: usize = 1024;
const BATCHES: [usize; 2] = [1, 64];
/// The last message to a thread that echoes.
const STOP: Message = [u64::MAX; 6];
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

/// Stage, flush and receive between two of `shards` shards on one thread: what the mesh adds to the ring.
fn mesh(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh");
    for shards in [2, 64] {
        let mut meshes = build_mesh::<Message>(shards, CAPACITY).expect("descriptors are to be had");
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(format!("{shards}_shards"), batch), |bencher| {
                bencher.iter(|| {
                    (0..batch).for_each(|_| meshes[0].stage(ShardId(1), black_box([0; 6])));
                    meshes[0].flush();
                    meshes[1].receive(batch, |_, message| {
                        black_box(message);
                    })
                });
            });
        }
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new(format!("{shards}_shards"), "idle_pass"), |bencher| {
            bencher.iter(|| meshes[1].flush() || meshes[1].receive(CAPACITY, |_, _| {}) > 0);
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    rings(&mut criterion);
    mesh(&mut criterion);
    criterion.final_summary();
}
