//! The runs whose instructions callgrind counts: each operation a few times, then many times, in one function by which
//! callgrind tells them from everything else. It never counts itself; `cargo x bench instructions` does.

use crate::subject::{Run, Subject};
use std::hint::black_box;
use std::io::{self, Write};

/// Runs before anything is counted, so that buffers have grown and lazy parts exist.
const WARM_UP: u64 = 1024;
/// The short run.
const FEW: u64 = 64;
/// The long run. The difference of the two runs is one operation a thousand and twenty-four times: a whole number of
/// rounds for every subject that does something only now and then.
const MANY: u64 = FEW + 1024;

/// Prints the names of all counted subjects.
///
/// # Errors
/// Standard output is gone.
pub fn list(subjects: &[Subject]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    for subject in subjects.iter().filter(|subject| subject.is_counted) {
        writeln!(output, "{}", subject.name)?;
    }
    Ok(())
}

/// Runs the counted subject of this name, and prints the lengths of its two runs. One subject a process: what others leave
/// in the heap would change what the allocator does for this one.
///
/// # Errors
/// There is no such subject, or standard output is gone.
pub fn run(subjects: &[Subject], name: &str) -> io::Result<()> {
    let subject = subjects.iter().find(|subject| subject.is_counted && subject.name == name);
    let Some(subject) = subject else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("nothing counted is called {name}")));
    };
    let mut run = subject.prepare();
    run(WARM_UP);
    measured_region(&mut run, FEW);
    measured_region(&mut run, MANY);
    writeln!(io::stdout(), "{FEW}\t{MANY}")
}

/// The only function in which instructions are counted; `cargo x bench instructions` knows it by its name.
#[inline(never)]
fn measured_region(run: &mut Run, times: u64) {
    run(black_box(times));
    // Without something behind the call it would be a jump, and callgrind would not see this function end.
    black_box(run);
}
