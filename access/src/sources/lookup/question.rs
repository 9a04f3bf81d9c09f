//! The values of templates, and what stands for a whole question where answers are remembered.

use crate::authentication::password::{HashError, fill_random};
use crate::authentication::template::{Part, Template};
use ringmq_shards::access::Entry;
use sha2::{Digest, Sha256};

/// A client lacks what a template needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoQuestion;

/// The values for the placeholders of a template, in order.
///
/// # Errors
/// The client lacks one.
pub fn values_of(template: &Template, entry: &Entry) -> Result<Vec<String>, NoQuestion> {
    let placeholders = template.parts().iter().filter_map(|part| match part {
        Part::Placeholder(placeholder) => Some(placeholder),
        Part::Text(_) => None,
    });
    placeholders.map(|one| one.of(entry).map(|value| value.into_owned()).ok_or(NoQuestion)).collect()
}

/// Stands for a question; the values, which may hold a password, cannot be read from it.
pub type QuestionKey = [u8; 32];

/// Makes keys with a random beginning of its own.
#[derive(Clone)]
pub struct KeyMaker(Sha256);

impl KeyMaker {
    /// A maker whose keys are of no use elsewhere.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<KeyMaker, HashError> {
        let mut salt = [0; 32];
        fill_random(&mut salt)?;
        Ok(KeyMaker(Sha256::new_with_prefix(salt)))
    }

    /// The key of these values.
    pub fn key<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> QuestionKey {
        let mut digest = self.0.clone();
        for value in values {
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value);
        }
        digest.finalize().into()
    }
}
