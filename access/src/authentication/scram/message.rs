//! The messages of SCRAM that a client sends, as RFC 5802 section 7 writes them. They are read, not judged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest nonce a client may choose.
const NONCE_BYTES_MAX: usize = 256;

/// What a client says first.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFirst<'a> {
    /// The part before the message: channel binding flag and authorization identity.
    pub gs2_header: &'a str,
    /// The message without it, which proofs are made over.
    pub bare: &'a str,
    /// The user, `=2C` and `=3D` replaced.
    pub user_name: String,
    /// The user it wants to act as, if it names one.
    pub acts_as: Option<String>,
    /// Its nonce.
    pub nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads a message; none if it is not one, or asks for channel binding.
    pub fn parse(data: &'a [u8]) -> Option<ClientFirst<'a>> {
        let text = std::str::from_utf8(data).ok()?;
        let mut parts = text.splitn(3, ',');
        let (flag, acts_as, bare) = (parts.next()?, parts.next()?, parts.next()?);
        // `p=` asks for a channel binding, which is not offered.
        if !matches!(flag, "n" | "y") {
            return None;
        }
        let acts_as = match acts_as {
            "" => None,
            named => Some(unescaped(named.strip_prefix("a=")?)?),
        };
        let mut attributes = bare.split(',');
        // An extension that must be understood (`m=`) would stand here, and is not.
        let user_name = unescaped(attributes.next()?.strip_prefix("n=")?)?;
        let nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        let gs2_header = &text[..text.len() - bare.len()];
        Some(ClientFirst { gs2_header, bare, user_name, acts_as, nonce })
    }
}

/// What a client says last.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientFinal<'a> {
    /// What it says of the channel binding, decoded.
    pub channel_binding: Vec<u8>,
    /// The nonces of both.
    pub nonce: &'a str,
    /// The message up to the proof, which the proof is made over.
    pub without_proof: &'a str,
    /// The proof.
    pub proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    /// Reads a message; none if it is not one.
    pub fn parse(data: &'a [u8]) -> Option<ClientFinal<'a>> {
        let text = std::str::from_utf8(data).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let channel_binding = STANDARD.decode(attributes.next()?.strip_prefix("c=")?).ok()?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let proof = STANDARD.decode(proof).ok()?;
        Some(ClientFinal { channel_binding, nonce, without_proof, proof })
    }
}

fn is_nonce(nonce: &str) -> bool {
    (1..=NONCE_BYTES_MAX).contains(&nonce.len()) && nonce.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name without its escapes.
fn unescaped(name: &str) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    let mut parts = name.split('=');
    text.push_str(parts.next()?);
    for part in parts {
        let (character, rest) = match part.get(..2)? {
            "2C" => (',', &part[2..]),
            "3D" => ('=', &part[2..]),
            _ => return None,
        };
        text.push(character);
        text.push_str(rest);
    }
    (!text.is_empty()).then_some(text)
}
