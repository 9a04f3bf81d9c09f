//! The properties of a message that the broker hands on: kept as the bytes the publisher sent, never re-encoded.

use super::EncodeError;
use super::property::Property;
use super::reader::Reader;
use super::writer::{Measure, Sink};
use std::borrow::Cow;
use std::ops::Range;

/// A property of a message that the broker forwards unaltered. [MQTT-3.3.2-4, -15, -16, -17, -18, -20]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the specification")]
pub enum ForwardProperty<'a> {
    PayloadFormatIndicator(u8),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    UserProperty(&'a str, &'a str),
}

impl ForwardProperty<'_> {
    /// Appends the encoded property, as it stands in `forward` of [`Publish`](super::Publish) and [`Will`](super::Will).
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLarge`] for a string or data of more than 65,535 bytes; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let property = match *self {
            ForwardProperty::PayloadFormatIndicator(value) => Property::PayloadFormatIndicator(value),
            ForwardProperty::ContentType(value) => Property::ContentType(value),
            ForwardProperty::ResponseTopic(value) => Property::ResponseTopic(value),
            ForwardProperty::CorrelationData(value) => Property::CorrelationData(value),
            ForwardProperty::UserProperty(name, value) => Property::User(name, value),
        };
        let mut measure = Measure::default();
        property.put(&mut measure);
        measure.finish()?;
        property.put(out);
        Ok(())
    }
}

/// Reads the encoded forwardable properties of a [`Publish`](super::Publish) or of a publication. The bytes were
/// validated when they were decoded; the iterator ends at anything it does not know.
#[derive(Debug, Clone)]
pub struct ForwardPropertyIter<'a> {
    rest: &'a [u8],
}

impl<'a> ForwardPropertyIter<'a> {
    /// Reads `forward` from its start.
    pub const fn new(forward: &'a [u8]) -> ForwardPropertyIter<'a> {
        ForwardPropertyIter { rest: forward }
    }
}

impl<'a> Iterator for ForwardPropertyIter<'a> {
    type Item = ForwardProperty<'a>;

    fn next(&mut self) -> Option<ForwardProperty<'a>> {
        let mut reader = Reader::new(std::mem::take(&mut self.rest));
        let id = reader.u8().ok()?;
        let property = match Property::decode(id, &mut reader).ok()? {
            Property::PayloadFormatIndicator(value) => ForwardProperty::PayloadFormatIndicator(value),
            Property::ContentType(value) => ForwardProperty::ContentType(value),
            Property::ResponseTopic(value) => ForwardProperty::ResponseTopic(value),
            Property::CorrelationData(value) => ForwardProperty::CorrelationData(value),
            Property::User(name, value) => ForwardProperty::UserProperty(name, value),
            _ => return None,
        };
        self.rest = reader.take_rest();
        Some(property)
    }
}

impl std::iter::FusedIterator for ForwardPropertyIter<'_> {}

/// Gathers the ranges of forwardable properties while a block of properties is read. Neighbours stay borrowed; only when
/// something that is not forwarded stands between them are they copied together.
#[derive(Debug)]
pub(super) struct ForwardRanges<'a> {
    block: &'a [u8],
    run: Range<usize>,
    gathered: Vec<u8>,
}

impl<'a> ForwardRanges<'a> {
    /// Nothing yet of `block`.
    pub(super) const fn new(block: &'a [u8]) -> ForwardRanges<'a> {
        ForwardRanges { block, run: 0..0, gathered: Vec::new() }
    }

    /// Adds a property that stands behind all that were added before.
    pub(super) fn add(&mut self, range: Range<usize>) {
        if range.start == self.run.end {
            self.run.end = range.end;
            return;
        }
        self.gathered.put(&self.block[self.run.clone()]);
        self.run = range;
    }

    /// All that was added.
    pub(super) fn finish(mut self) -> Cow<'a, [u8]> {
        let run = &self.block[self.run];
        if self.gathered.is_empty() {
            return Cow::Borrowed(run);
        }
        self.gathered.put(run);
        Cow::Owned(self.gathered)
    }
}
