//! What a completion belongs to, packed into the 64 bits that io_uring hands back.

use crate::reactor::Token;

/// An operation in flight.
///
/// Receives and polls carry the generation of their slot, because a connection can be closed, and its slot used again,
/// before the last completion of an operation has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Nobody waits for it: cancellations and closes.
    Forgotten,
    /// Bytes of a connection.
    Receive { token: Token, generation: u16 },
    /// An idle connection has bytes.
    Poll { token: Token, generation: u16 },
    /// A send, by its place in [`Sends`](super::sends::Sends).
    Send { place: u32 },
    /// Connections of a listener.
    Accept { listener: u32 },
    /// Somebody rang.
    Doorbell,
}

const KIND_SHIFT: u32 = 56;
const GENERATION_SHIFT: u32 = 32;

impl Operation {
    /// As user data.
    pub fn to_user_data(self) -> u64 {
        let pack = |kind: u64, generation: u16, number: u32| {
            kind << KIND_SHIFT | u64::from(generation) << GENERATION_SHIFT | u64::from(number)
        };
        match self {
            Operation::Forgotten => 0,
            Operation::Receive { token, generation } => pack(1, generation, token),
            Operation::Poll { token, generation } => pack(2, generation, token),
            Operation::Send { place } => pack(3, 0, place),
            Operation::Accept { listener } => pack(4, 0, listener),
            Operation::Doorbell => pack(5, 0, 0),
        }
    }

    /// From user data that [`Operation::to_user_data`] made.
    pub fn from_user_data(data: u64) -> Operation {
        let number = data as u32;
        let generation = (data >> GENERATION_SHIFT) as u16;
        match data >> KIND_SHIFT {
            1 => Operation::Receive { token: number, generation },
            2 => Operation::Poll { token: number, generation },
            3 => Operation::Send { place: number },
            4 => Operation::Accept { listener: number },
            5 => Operation::Doorbell,
            _ => Operation::Forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;

    #[test]
    fn every_operation_survives_its_packing() {
        for operation in [
            Operation::Forgotten,
            Operation::Receive { token: u32::MAX, generation: u16::MAX },
            Operation::Poll { token: 7, generation: 1 },
            Operation::Send { place: u32::MAX },
            Operation::Accept { listener: 3 },
            Operation::Doorbell,
        ] {
            assert_eq!(Operation::from_user_data(operation.to_user_data()), operation);
        }
    }
}
