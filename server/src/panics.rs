//! What a panic does: it is a defect, and a broker that lost a shard must not go on as if nothing had happened.

use ringmq_control::THREAD_NAME;
use std::io::Write;
use std::panic::PanicHookInfo;

/// EX_SOFTWARE of sysexits.h.
const EXIT_DEFECT: i32 = 70;

/// From now on a panic is told in one line and ends the process with exit code 70. Only on the thread of the
/// management plane it ends just the request: MQTT does not depend on it.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        // Standard error directly: the log may be what panicked.
        let _ = writeln!(std::io::stderr(), "{}", line(name, info));
        if name != THREAD_NAME {
            signal_hook::low_level::exit(EXIT_DEFECT);
        }
    }));
}

fn line(thread: &str, info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no text").replace('\n', " ");
    let place =
        info.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    format!(
        "ringmq: fatal: thread {thread} panicked{place}: {text}; this is a defect of RingMQ, please report this line"
    )
}
