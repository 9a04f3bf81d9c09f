//! What stands behind `cargo x <task>`: `--key value` pairs and plain words. It never guesses: a key that no
//! task asked for is an error.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// The words behind the task, consumed as the task asks for them.
pub struct Arguments {
    words: Vec<String>,
}

impl Arguments {
    /// Takes the words behind the task's name.
    pub fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// Removes `--key value` and returns the value.
    pub fn text(&mut self, key: &str) -> Result<Option<String>> {
        let flag = format!("--{key}");
        let Some(at) = self.words.iter().position(|word| *word == flag) else { return Ok(None) };
        if at + 1 == self.words.len() {
            bail!("{flag} needs a value");
        }
        self.words.remove(at);
        Ok(Some(self.words.remove(at)))
    }

    /// Removes `--key`, a word without value; whether it was there.
    pub fn flag(&mut self, key: &str) -> bool {
        let flag = format!("--{key}");
        let before = self.words.len();
        self.words.retain(|word| *word != flag);
        self.words.len() < before
    }

    /// Removes `--key number` and returns the number, or `default` where the key is absent.
    pub fn number<T: FromStr>(&mut self, key: &str, default: T) -> Result<T>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        match self.text(key)? {
            Some(text) => text.parse().with_context(|| format!("--{key} {text}")),
            None => Ok(default),
        }
    }

    /// The words left over, for a task that takes names. A left-over `--key` is an error.
    pub fn names(self) -> Result<Vec<String>> {
        match self.words.iter().find(|word| word.starts_with('-')) {
            Some(unknown) => bail!("unknown argument {unknown}"),
            None => Ok(self.words),
        }
    }

    /// Ends the reading for a task that takes no names.
    pub fn finish(&mut self) -> Result<()> {
        match self.words.first() {
            Some(unknown) => bail!("unknown argument {unknown}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Arguments {
        Arguments::new(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn keys_are_taken_out_and_names_stay() {
        let mut given = arguments("loom --seconds 5 build");
        assert_eq!(given.number("seconds", 60).unwrap(), 5);
        assert_eq!(given.number("seconds", 60).unwrap(), 60);
        assert_eq!(given.names().unwrap(), ["loom", "build"]);
        let mut given = arguments("--update decode");
        assert!(given.flag("update") && !given.flag("update"));
        assert_eq!(given.names().unwrap(), ["decode"]);
    }

    #[test]
    fn what_no_task_asked_for_is_refused() {
        assert!(arguments("--second 5").finish().is_err());
        assert!(arguments("--seconds").number("seconds", 1).is_err());
        assert!(arguments("--seconds five").number("seconds", 1).is_err());
        assert!(arguments("build --x").names().is_err());
    }
}
