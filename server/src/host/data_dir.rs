//! Whether durable state can be written.

use super::HostError;
use super::finding::Finding;
use rustix::fs::{Access, access};
use std::io;
use std::path::Path;

/// Judges `node.data_dir` without creating it.
pub fn data_dir(path: &Path) -> Finding {
    match try_data_dir(path) {
        Ok(true) => Finding::ok("data_dir", format!("{} is writable", path.display())),
        Ok(false) => Finding::ok("data_dir", format!("{} will be created", path.display())),
        Err(source) => {
            Finding::fail("data_dir", HostError::DataDir { path: path.to_owned(), source }.to_string())
        }
    }
}

/// Creates `node.data_dir` and sees that it is writable.
///
/// # Errors
/// [`HostError::DataDir`].
pub fn make_data_dir(path: &Path) -> Result<(), HostError> {
    let made = std::fs::create_dir_all(path).and_then(|()| try_data_dir(path));
    made.map(|_| ()).map_err(|source| HostError::DataDir { path: path.to_owned(), source })
}

/// Whether the directory exists; an error where it, or the directory it would be created in, is not writable.
fn try_data_dir(path: &Path) -> io::Result<bool> {
    let absolute = std::path::absolute(path)?;
    for directory in absolute.ancestors() {
        match std::fs::metadata(directory) {
            Ok(found) if !found.is_dir() => {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{} is not a directory", directory.display()),
                ));
            }
            Ok(_) => {
                access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
                return Ok(directory == absolute);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Grade;

    #[test]
    fn directory_is_found_made_or_refused() {
        let temp = tempfile::tempdir().unwrap();
        assert!(data_dir(temp.path()).detail.ends_with("is writable"));
        let inner = temp.path().join("a/b");
        assert!(data_dir(&inner).detail.ends_with("will be created"));
        assert!(!inner.exists());
        make_data_dir(&inner).unwrap();
        assert!(inner.is_dir());
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(data_dir(&file.join("below")).grade, Grade::Fail);
        let text = make_data_dir(&file).unwrap_err().to_string();
        assert!(text.starts_with("node.data_dir = ") && text.contains("may write to"), "{text}");
    }
}
