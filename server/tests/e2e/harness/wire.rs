//! Bytes of MQTT: writing fields, reading fields. Knows no packet.

/// Appends a two-byte integer.
pub fn u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Appends a length-prefixed field.
pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    u16(out, u16::try_from(bytes.len()).expect("a field has at most 65,535 bytes"));
    out.extend_from_slice(bytes);
}

/// Appends a string; the text may be one the specification forbids.
pub fn string(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    binary(out, text.as_ref());
}

/// Appends a variable byte integer.
pub fn varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        out.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

/// A whole packet: first byte, remaining length, body.
pub fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    varint(&mut out, body.len());
    out.extend_from_slice(body);
    out
}

/// Reads fields from the front of a body; panics at its end, because the broker must not send such a packet.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    pub fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest }
    }

    /// Whether all bytes are read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        assert!(self.rest.len() >= n, "the broker sent a packet that ends too early");
        let (head, tail) = self.rest.split_at(n);
        self.rest = tail;
        head
    }

    /// Everything that is left.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    /// A two-byte integer.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.bytes(2).try_into().expect("two bytes"))
    }

    /// A four-byte integer.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    /// A length-prefixed field.
    pub fn binary(&mut self) -> &'a [u8] {
        let n = self.u16();
        self.bytes(n.into())
    }

    /// A string.
    pub fn string(&mut self) -> String {
        String::from_utf8(self.binary().to_vec()).expect("the broker sent ill-formed UTF-8")
    }

    /// A variable byte integer in its shortest form.
    pub fn varint(&mut self) -> u32 {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8();
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                assert!(shift == 0 || byte != 0, "the broker sent an integer with needless bytes");
                return value;
            }
        }
        panic!("the broker sent an integer of more than four bytes");
    }
}

/// Cuts the first packet from `buffer`: its first byte and its body. `None` when more bytes are needed.
pub fn cut_frame(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let mut length = 0_usize;
    for i in 0..4 {
        let byte = *buffer.get(1 + i)?;
        length |= usize::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            assert!(i == 0 || byte != 0, "the broker sent a remaining length with needless bytes");
            let start = 2 + i;
            if buffer.len() < start + length {
                return None;
            }
            let first_byte = buffer[0];
            let body = buffer[start..start + length].to_vec();
            buffer.drain(..start + length);
            return Some((first_byte, body));
        }
    }
    panic!("the broker sent a remaining length of more than four bytes");
}
