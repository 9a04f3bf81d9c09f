//! What the kernel's TCP path costs by itself: a server that only sends back what it received, and clients that each have
//! one message in flight. It prints the server thread's CPU time per message, the floor for a broker that receives one
//! message and sends one, and knows nothing of MQTT.
//!
//! `cargo run --release -p ringmq-benches --example echo [CONNECTIONS] [BYTES] [SECONDS]`

use anyhow::{Context, Result, ensure};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustix::time::{ClockId, clock_gettime};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LISTENER: Token = Token(usize::MAX);
/// Longest rest without looking whether the run is over.
const POLL_MAX: Duration = Duration::from_millis(100);

fn main() -> Result<()> {
    let number = |place: usize, default: usize| match std::env::args().nth(place) {
        Some(text) => text.parse::<usize>().with_context(|| format!("{text} is no number")),
        None => Ok(default),
    };
    let (connections, bytes, seconds) = (number(1, 100)?, number(2, 64)?, number(3, 5)?);
    ensure!((1..=10_000).contains(&connections), "CONNECTIONS: 1 to 10000");
    ensure!((1..=4096).contains(&bytes), "BYTES: 1 to 4096");
    ensure!((1..=600).contains(&seconds), "SECONDS: 1 to 600");
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    let is_over = Arc::new(AtomicBool::new(false));
    let server = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || serve(listener, &is_over))
    };
    let client = exchange(address, connections, bytes, Duration::from_secs(seconds as u64));
    is_over.store(true, Ordering::Relaxed);
    let (echoed, cpu) = server.join().map_err(|_| anyhow::anyhow!("the server's thread panicked"))??;
    let answered = client?;
    ensure!(answered > 0 && echoed >= answered, "{echoed} echoed, {answered} answered");
    let mut out = std::io::stdout().lock();
    writeln!(out, "connections                {connections}")?;
    writeln!(out, "payload bytes              {bytes}")?;
    writeln!(out, "messages per s             {}", answered / seconds as u64)?;
    writeln!(out, "server cpu us per message  {:.2}", cpu.as_secs_f64() * 1e6 / echoed as f64)?;
    Ok(())
}

/// Echoes until the run is over; returns the messages and the CPU time they took.
fn serve(mut listener: TcpListener, is_over: &AtomicBool) -> Result<(u64, Duration)> {
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut events, mut streams, mut buffer) = (Events::with_capacity(1024), Vec::new(), [0; 8192]);
    let (mut echoed, mut began) = (0, thread_cpu());
    while !is_over.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(POLL_MAX))?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut streams)?;
                // Accepting is not what is measured.
                (echoed, began) = (0, thread_cpu());
                continue;
            }
            let Some(stream) = streams.get_mut(event.token().0) else { continue };
            echoed += echo(stream, &mut buffer)?;
        }
    }
    Ok((echoed, thread_cpu().saturating_sub(began)))
}

fn accept(poll: &Poll, listener: &TcpListener, streams: &mut Vec<TcpStream>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                poll.registry().register(&mut stream, Token(streams.len()), Interest::READABLE)?;
                streams.push(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One receive and one send. A client has one message in flight, so there is never more to receive.
fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<u64> {
    let sent = stream.read(buffer).and_then(|count| stream.write_all(&buffer[..count]).map(|()| count));
    match sent {
        Ok(count) => Ok(u64::from(count > 0)),
        Err(error) => match error.kind() {
            // The client is done, or was.
            ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(0),
            _ => Err(error.into()),
        },
    }
}

/// Keeps one message in flight on each connection; returns how many came back.
fn exchange(server: SocketAddr, connections: usize, bytes: usize, limit: Duration) -> Result<u64> {
    let mut poll = Poll::new()?;
    let mut streams = Vec::with_capacity(connections);
    for token in 0..connections {
        let stream = std::net::TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        // No TIME_WAIT is left behind.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(token), Interest::READABLE)?;
        streams.push(stream);
    }
    let (message, mut buffer, mut answered) = (vec![7; bytes], [0; 8192], 0);
    let mut missing = vec![bytes; connections];
    for stream in &mut streams {
        stream.write_all(&message)?;
    }
    let (mut events, end) = (Events::with_capacity(1024), Instant::now() + limit);
    while Instant::now() < end {
        poll.poll(&mut events, Some(POLL_MAX))?;
        for event in &events {
            let place = event.token().0;
            let count = match streams[place].read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            ensure!(count > 0, "the server closed");
            missing[place] = missing[place].saturating_sub(count);
            if missing[place] == 0 {
                answered += 1;
                missing[place] = bytes;
                streams[place].write_all(&message)?;
            }
        }
    }
    Ok(answered)
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
