//! Which file system a folder lies on, from `/proc/self/mountinfo`. It only reads.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// As in `ext4, /dev/sda1 at /var`.
///
/// # Errors
/// When the folder does not exist, or the kernel does not tell.
pub fn name_of(folder: &Path) -> Result<String> {
    let folder = fs::canonicalize(folder)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    find(&mounts, &folder).context("/proc/self/mountinfo does not name its file system")
}

/// The last mount of those deepest in the tree that hold the folder.
fn find(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = PathBuf::from(unescape(before.split(' ').nth(4)?));
        let mut after = after.split(' ');
        let name = format!("{}, {} at {}", after.next()?, unescape(after.next()?), point.display());
        folder.starts_with(&point).then(|| (point.components().count(), name))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, name)| name)
}

/// The kernel writes space, tab, line feed and backslash in octal.
fn unescape(text: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.iter().fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_that_holds_the_folder_counts() {
        let mounts = "21 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      30 21 0:25 / /var/my\\040data rw shared:1 - xfs /dev/sdb1 rw\n\
                      31 21 0:26 / /var/my rw - tmpfs none rw\n";
        assert_eq!(
            find(mounts, Path::new("/var/my data/x")).as_deref(),
            Some("xfs, /dev/sdb1 at /var/my data")
        );
        assert_eq!(find(mounts, Path::new("/srv")).as_deref(), Some("ext4, /dev/vda at /"));
        assert_eq!(find("", Path::new("/srv")), None);
    }

    #[test]
    fn the_temporary_folder_lies_somewhere() {
        assert!(name_of(&std::env::temp_dir()).unwrap().contains(" at /"));
        assert!(name_of(Path::new("/no such folder")).is_err());
    }
}
