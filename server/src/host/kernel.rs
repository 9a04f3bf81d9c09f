//! The version of the kernel.

use super::finding::Finding;

/// The oldest kernel whose io_uring has what the reactors use.
const OLDEST: (u32, u32) = (5, 8);

/// Judges the running kernel.
pub fn kernel() -> Finding {
    judge(&rustix::system::uname().release().to_string_lossy())
}

/// Whether the running kernel is older than `version`; false where its release does not read as a version.
pub fn is_older_than(version: (u32, u32)) -> bool {
    read(&rustix::system::uname().release().to_string_lossy()).is_some_and(|running| running < version)
}

fn judge(release: &str) -> Finding {
    match read(release) {
        Some(version) if version >= OLDEST => Finding::ok("kernel", format!("Linux {release}")),
        Some(_) => Finding::fail("kernel", format!("Linux {release} is older than 5.8; upgrade the kernel")),
        None => Finding::warn(
            "kernel",
            format!("{release:?} is not a version; see that it is Linux 5.8 or later"),
        ),
    }
}

/// The first two numbers of a release such as `6.1.0-13-amd64`.
fn read(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Grade;

    #[test]
    fn releases_are_judged_by_their_first_two_numbers() {
        for (release, grade) in [
            ("6.1.0-13-amd64", Grade::Ok),
            ("5.8.0", Grade::Ok),
            ("5.15-rc1", Grade::Ok),
            ("10.0", Grade::Ok),
            ("5.7.19", Grade::Fail),
            ("4.19.0", Grade::Fail),
            ("unknown", Grade::Warn),
            ("", Grade::Warn),
        ] {
            assert_eq!(judge(release).grade, grade, "{release}");
        }
    }
}
