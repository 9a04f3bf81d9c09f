//! Settings and files of a broker that a test changes while it runs, and SIGHUP.

use super::{Broker, PATIENCE, Signal, at_shards, run_to_exit, time_passes};
use std::path::Path;
use std::time::Instant;

/// What is logged at the end of each reading, whatever came of it.
const WAS_READ: &str = "configuration and files were read again";

/// Settings, and a folder for files that they name.
pub struct Configured {
    folder: tempfile::TempDir,
    pub settings: Vec<String>,
}

impl Configured {
    /// Default settings.
    pub fn new() -> Configured {
        let folder = tempfile::tempdir().expect("a temporary directory");
        Configured { folder, settings: Vec::new() }
    }

    /// With one more `key=value`.
    pub fn set(mut self, setting: &str) -> Configured {
        self.settings.push(setting.to_owned());
        self
    }

    /// With a file of access rules as the only source.
    pub fn with_rules(self, rules: &str) -> Configured {
        let path = self.write("acl.conf", rules);
        self.set(&format!("authorization.sources=[{{type = 'file', path = '{path}'}}]"))
    }

    /// With a chain of the built-in database alone, whose users [`Configured::add_user`] adds.
    pub fn with_users(self) -> Configured {
        let element = self.users_element();
        self.set(&format!("authentication=[{element}]"))
    }

    /// The element of a chain that knows these users.
    pub fn users_element(&self) -> String {
        let file = self.path("users.db");
        format!("{{mechanism = 'password_based', backend = 'built_in_database', file = '{file}'}}")
    }

    /// Adds a user, or gives it another password.
    pub fn add_user(&self, name: &str, password: &str, options: &[&str]) {
        let password = self.write("password", password);
        self.users(&[&["add", name, "--password-file", &password], options].concat());
    }

    /// Runs `ringmq users` on the file of users.
    pub fn users(&self, arguments: &[&str]) {
        let file = self.path("users.db");
        let outcome = run_to_exit(&[&["users"], arguments, &["--file", &file]].concat(), &[]);
        assert!(outcome.status.success(), "{arguments:?}: {}", outcome.stderr);
    }

    /// Where a file of this name is, as a setting has it.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    /// Writes a file, and returns where it is.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(Path::new(&path).parent().expect("a folder")).expect("the test's own");
        std::fs::write(&path, text).expect("a folder of the test's own");
        path
    }

    /// A broker with these settings.
    pub fn broker(&self, shards: usize) -> Broker {
        Broker::with(shards, &self.settings.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// [`at_shards`] with these settings.
    pub fn at_shards(&self, test: impl Fn(&Broker)) {
        at_shards(&self.settings.iter().map(String::as_str).collect::<Vec<_>>(), test);
    }
}

impl Broker {
    /// Has everything read again, waits for it, and returns what was logged meanwhile. What changed reaches a shard in its
    /// next pass.
    pub fn reload(&self) -> String {
        let before = self.stderr().len();
        self.signal(Signal::HUP);
        self.wait_stderr(before, WAS_READ)
    }

    /// Waits until this was logged behind the first `from` bytes, and returns all of that.
    pub fn wait_stderr(&self, from: usize, text: &str) -> String {
        let mut later = String::new();
        until(text, || {
            later = self.stderr().get(from..).unwrap_or_default().to_owned();
            later.contains(text)
        });
        later
    }
}

/// Waits until this holds.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        time_passes(5);
    }
}
