//! RESP2, what Redis and its clients say to each other, without IO.

/// The longest reply.
pub const REPLY_BYTES_MAX: usize = 1 << 20;
/// How deep arrays may lie in each other; answers to the commands that are sent have one level.
const DEPTH_MAX: usize = 4;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A word, such as `OK`.
    Simple(String),
    /// An error, its first word being its kind.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// There is nothing.
    Nil,
    /// Replies.
    Array(Vec<Reply>),
}

/// Bytes that are no reply, or one that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAReply;

/// Appends a command.
pub fn write_command(words: &[&[u8]], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// Reads one reply and says how many bytes it took; `None` if more are needed.
///
/// # Errors
/// [`NotAReply`].
pub fn read_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NotAReply> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.reply(0) {
        Ok(reply) => Ok(Some((reply, reader.at))),
        Err(Stop::Incomplete) if bytes.len() > REPLY_BYTES_MAX => Err(NotAReply),
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Malformed) => Err(NotAReply),
    }
}

enum Stop {
    Incomplete,
    Malformed,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn reply(&mut self, depth: usize) -> Result<Reply, Stop> {
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        Ok(match kind {
            b'+' => Reply::Simple(text()),
            b'-' => Reply::Error(text()),
            b':' => Reply::Integer(number(rest)?),
            b'$' => match length(rest)? {
                None => Reply::Nil,
                Some(length) => Reply::Bulk(self.bulk(length)?.to_vec()),
            },
            b'*' => match length(rest)? {
                None => Reply::Nil,
                Some(_) if depth == DEPTH_MAX => return Err(Stop::Malformed),
                Some(length) => {
                    // No more room is taken than bytes have come.
                    let mut replies = Vec::with_capacity(length.min(self.bytes.len() / 3));
                    for _ in 0..length {
                        replies.push(self.reply(depth + 1)?);
                    }
                    Reply::Array(replies)
                }
            },
            _ => return Err(Stop::Malformed),
        })
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::Incomplete)?;
        self.at += end + 2;
        Ok(&rest[..end])
    }

    fn bulk(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let rest = &self.bytes[self.at..];
        let end = rest.get(length..length + 2).ok_or(Stop::Incomplete)?;
        if end != b"\r\n" {
            return Err(Stop::Malformed);
        }
        self.at += length + 2;
        Ok(&rest[..length])
    }
}

fn number(digits: &[u8]) -> Result<i64, Stop> {
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Stop::Malformed)
}

/// A length; none for -1.
fn length(digits: &[u8]) -> Result<Option<usize>, Stop> {
    match number(digits)? {
        -1 => Ok(None),
        number => match usize::try_from(number) {
            Ok(length) if length <= REPLY_BYTES_MAX => Ok(Some(length)),
            _ => Err(Stop::Malformed),
        },
    }
}
