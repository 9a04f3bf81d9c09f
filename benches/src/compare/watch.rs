//! Child processes with a bound on their time, and the wish to stop early. It never leaves a child behind.

use anyhow::{Context, Result};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often a child is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Set by SIGINT or SIGTERM; everything that waits looks at it.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Reacts to SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> Result<Interrupt> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("installing a signal handler")?;
        }
        Ok(Interrupt(flag))
    }

    /// Never set.
    #[cfg(test)]
    pub fn none() -> Interrupt {
        Interrupt(Arc::default())
    }

    /// Whether somebody wants this process to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a child did not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It ran past its limit.
    Late,
    /// This process was told to stop.
    Interrupted,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Ended::Late => "killed at its time limit",
            Ended::Interrupted => "interrupted",
        })
    }
}

impl std::error::Error for Ended {}

/// Waits until the child ends, and kills it at the limit or when interrupted.
///
/// # Errors
/// [`Ended`] when it had to be killed.
pub fn wait(child: &mut Child, limit: Duration, interrupt: &Interrupt) -> Result<ExitStatus, Ended> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if interrupt.is_set() => {
                kill(child);
                return Err(Ended::Interrupted);
            }
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
            _ => {
                kill(child);
                return Err(Ended::Late);
            }
        }
    }
}

/// Waits until the child ends, without killing it.
pub fn wait_for_end(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Ends the child at once.
pub fn kill(child: &mut Child) {
    // Both fail only when it is gone already, which is what is wanted.
    let _gone = child.kill();
    let _reaped = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_child_past_its_limit_is_killed_and_one_in_time_is_not() {
        let none = Interrupt::none();
        let mut late = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut late, Duration::from_millis(20), &none), Err(Ended::Late));
        assert!(late.try_wait().unwrap().is_some());
        let mut short = Command::new("true").spawn().unwrap();
        assert!(wait(&mut short, Duration::from_secs(30), &none).unwrap().success());
    }

    #[test]
    fn an_interrupt_ends_the_child() {
        let interrupt = Interrupt::none();
        interrupt.0.store(true, Ordering::Relaxed);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut child, Duration::from_secs(30), &interrupt), Err(Ended::Interrupted));
    }
}
