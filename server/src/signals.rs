//! Signals become messages to the main thread. A second signal to stop ends the process where it stands.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Messages that may wait; a full queue already holds what one more would say.
const MESSAGES_MAX: usize = 8;
/// What shells add to the number of the signal that ended a process.
const EXIT_BY_SIGNAL: i32 = 128;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// SIGTERM or SIGINT: stop in order.
    Stop,
    /// SIGHUP: read the configuration and its files again.
    Reload,
}

/// Takes over SIGTERM, SIGINT and SIGHUP for the rest of the process.
///
/// # Errors
/// The handlers or the thread cannot be created.
pub fn receive() -> io::Result<Receiver<Request>> {
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let (requests, receiver) = sync_channel(MESSAGES_MAX);
    std::thread::Builder::new()
        .name("ringmq-signals".to_owned())
        .spawn(move || forward(signals, requests))?;
    Ok(receiver)
}

fn forward(mut signals: Signals, requests: SyncSender<Request>) {
    let mut stopping = false;
    for signal in signals.forever() {
        let request = if signal == SIGHUP { Request::Reload } else { Request::Stop };
        if stopping && request == Request::Stop {
            signal_hook::low_level::exit(EXIT_BY_SIGNAL + signal);
        }
        stopping |= request == Request::Stop;
        // Only a repeated SIGHUP can find the queue full: there is one Stop, and the main thread drains the rest.
        let _ = if request == Request::Stop {
            requests.send(request).ok()
        } else {
            requests.try_send(request).ok()
        };
    }
}
