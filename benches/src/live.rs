//! What a run looks like while it lasts: one line on a terminal, redrawn in place. It only reads the counters the workers
//! keep anyway, from the main thread, and writes nothing where standard error is no terminal.

use crate::page::numbers;
use crate::phase::{Phase, Totals};
use std::cell::RefCell;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

/// How often the line is redrawn.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
/// Over how long a rate is taken.
const RATE_EVERY: Duration = Duration::from_secs(1);
/// Cells of the bar.
const BAR_CELLS: usize = 12;
/// The longest line, so that it never wraps on a common terminal.
const COLUMNS_MAX: usize = 79;

thread_local! {
    /// The view of the main thread's run; none where nobody looks.
    static VIEW: RefCell<Option<View>> = const { RefCell::new(None) };
}

/// Whether somebody looks: standard error is a terminal, nobody asked for quiet, and no program reads JSON from a pipe.
pub fn is_wanted(quiet: bool, json: bool) -> bool {
    !quiet && stderr().is_terminal() && (!json || stdout().is_terminal())
}

/// Shows the runs of this thread from now on, if it is wanted.
pub fn begin(wanted: bool) {
    VIEW.set(wanted.then(View::new));
}

/// Says how many clients the run opens, so that the bar has an end while they connect.
pub fn expect_clients(clients: u64) {
    VIEW.with_borrow_mut(|view| {
        if let Some(view) = view {
            view.clients = clients;
        }
    });
}

/// Called by the main thread whenever it looks at the counters.
pub fn look(phase: Phase, totals: &Totals, now: Instant, deadline: Instant) {
    VIEW.with_borrow_mut(|view| {
        if let Some(line) = view.as_mut().and_then(|view| view.poll_line(phase, totals, now, deadline)) {
            draw(&line);
        }
    });
}

/// Removes the line; the result follows.
pub fn end() {
    if VIEW.take().is_some() {
        draw("");
    }
}

/// Replaces the line. A terminal that is gone is no reason to end a run.
fn draw(line: &str) {
    let _ = write!(stderr().lock(), "\r\x1b[K{line}");
}

/// What the line is made of.
#[derive(Debug)]
struct View {
    clients: u64,
    phase: Option<Phase>,
    phase_begun: Instant,
    drawn: Option<Instant>,
    counted: Instant,
    published: u64,
    delivered: u64,
    published_per_s: f64,
    delivered_per_s: f64,
}

impl View {
    fn new() -> View {
        let now = Instant::now();
        View {
            clients: 0,
            phase: None,
            phase_begun: now,
            drawn: None,
            counted: now,
            published: 0,
            delivered: 0,
            published_per_s: 0.0,
            delivered_per_s: 0.0,
        }
    }

    /// The line, if it is time to draw it.
    fn poll_line(
        &mut self,
        phase: Phase,
        totals: &Totals,
        now: Instant,
        deadline: Instant,
    ) -> Option<String> {
        if self.phase != Some(phase) {
            (self.phase, self.phase_begun) = (Some(phase), now);
        } else if self.drawn.is_some_and(|drawn| now < drawn + REDRAW_EVERY) {
            return None;
        }
        self.drawn = Some(now);
        if now >= self.counted + RATE_EVERY {
            let seconds = (now - self.counted).as_secs_f64();
            self.published_per_s = totals.published.saturating_sub(self.published) as f64 / seconds;
            self.delivered_per_s = totals.delivered.saturating_sub(self.delivered) as f64 / seconds;
            (self.counted, self.published, self.delivered) = (now, totals.published, totals.delivered);
        }
        Some(self.to_line(phase, totals, now, deadline))
    }

    fn to_line(&self, phase: Phase, totals: &Totals, now: Instant, deadline: Instant) -> String {
        let elapsed_s = (now - self.phase_begun).as_secs_f64();
        let whole_s = deadline.saturating_duration_since(self.phase_begun).as_secs_f64();
        let (name, share) = match phase {
            Phase::Opening if self.clients > 0 => {
                ("opening", Some(totals.ready as f64 / self.clients as f64))
            }
            Phase::Opening => ("opening", None),
            Phase::Warming => ("warming up", Some(elapsed_s / whole_s.max(1e-9))),
            Phase::Measuring => ("measuring", Some(elapsed_s / whole_s.max(1e-9))),
            Phase::Draining => ("draining", None),
            Phase::Stopping => ("stopping", None),
        };
        let mut line = format!("{name:<10} {} {elapsed_s:>4.0} s", bar(share));
        line.push_str(&format!("  {} clients", numbers::short(totals.ready as f64)));
        let broken = totals.failed + totals.disconnected;
        if broken > 0 {
            line.push_str(&format!("  {broken} lost"));
        }
        if totals.published > 0 {
            line.push_str(&format!(
                "  {}/s in, {}/s out",
                numbers::short(self.published_per_s),
                numbers::short(self.delivered_per_s)
            ));
        }
        line.chars().take(COLUMNS_MAX).collect()
    }
}

/// The bar; empty where nobody knows how far it is.
fn bar(share: Option<f64>) -> String {
    let cells = (share.unwrap_or(0.0).clamp(0.0, 1.0) * BAR_CELLS as f64).round() as usize;
    let rest = if share.is_some() { "░" } else { " " };
    "█".repeat(cells) + &rest.repeat(BAR_CELLS - cells)
}

/// The line of something that consists of steps, each of which may take long.
#[derive(Debug)]
pub struct Steps {
    total: usize,
    done: usize,
    is_shown: bool,
}

impl Steps {
    /// A line for this many steps; never drawn unless it is wanted.
    pub fn new(total: usize, is_shown: bool) -> Steps {
        Steps { total, done: 0, is_shown }
    }

    /// The next step begins.
    pub fn step(&mut self, what: &str) {
        let share = self.done as f64 / self.total.max(1) as f64;
        self.done += 1;
        if self.is_shown {
            let line = format!("{} {}/{} {what}", bar(Some(share)), self.done, self.total);
            draw(&line.chars().take(COLUMNS_MAX).collect::<String>());
        }
    }

    /// Removes the line, because a result is printed.
    pub fn clear(&self) {
        if self.is_shown {
            draw("");
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_and_how_fast_and_never_wraps() {
        let mut view = View::new();
        let begun = view.counted;
        let deadline = begun + Duration::from_secs(10);
        view.clients = 200;
        let mut totals = Totals { ready: 50, ..Totals::default() };
        let line = view.poll_line(Phase::Opening, &totals, begun, deadline).unwrap();
        assert!(line.starts_with("opening    ███░░░░░░░░░    0 s  50 clients"), "{line}");
        view.poll_line(Phase::Measuring, &totals, begun, deadline).unwrap();
        totals = Totals { ready: 200, published: 2_000_000, delivered: 4_000_000, failed: 3, ..totals };
        let now = begun + Duration::from_secs(2);
        let line = view.poll_line(Phase::Measuring, &totals, now, deadline).unwrap();
        assert!(
            line.contains("██░") && line.ends_with("200 clients  3 lost  1.00 M/s in, 2.00 M/s out"),
            "{line}"
        );
        assert!(line.chars().count() <= COLUMNS_MAX, "{line}");
        assert_eq!(view.poll_line(Phase::Measuring, &totals, now + REDRAW_EVERY / 2, deadline), None);
    }

    #[test]
    fn nothing_is_drawn_where_nobody_looks() {
        assert!(!is_wanted(true, false));
        begin(false);
        expect_clients(5);
        VIEW.with_borrow(|view| assert!(view.is_none()));
    }

    #[test]
    fn the_bar_has_always_the_same_width() {
        for share in [None, Some(-1.0), Some(0.0), Some(0.49), Some(1.0), Some(7.0), Some(f64::NAN)] {
            assert_eq!(bar(share).chars().count(), BAR_CELLS);
        }
    }
}
