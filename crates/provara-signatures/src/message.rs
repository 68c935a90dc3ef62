//! The bytes that are signed, and the blocks that SHA-512 makes of them.

/// The length of a block of SHA-512.
pub(crate) const BLOCK: usize = 128;

/// The bytes that a signature is over: one slice, or two that follow each other, as where a member is left out of a
/// document.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a>([&'a [u8]; 2]);

impl<'a> Message<'a> {
    /// `first`, and then `second`.
    #[must_use]
    pub fn joined(first: &'a [u8], second: &'a [u8]) -> Self {
        Self([first, second])
    }

    /// Its parts in their order.
    #[must_use]
    pub fn parts(&self) -> [&'a [u8]; 2] {
        self.0
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0[0].len() + self.0[1].len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many blocks of SHA-512 it takes behind R and the public key.
    pub(crate) fn blocks(&self) -> usize {
        // One byte that ends the message, and its length in 16.
        (64 + self.len() + 17).div_ceil(BLOCK)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self([bytes, &[]])
    }
}

/// The blocks of R, a public key and a message, padded (FIPS 180-4, section 5.1.2). A block that lies within one slice is
/// not copied.
pub(crate) struct Blocks<'a> {
    pieces: [&'a [u8]; 4],
    bits: u128,
    left: usize,
    is_ended: bool,
}

impl<'a> Blocks<'a> {
    pub(crate) fn new(r: &'a [u8], public: &'a [u8; 32], message: Message<'a>) -> Self {
        let [first, second] = message.parts();
        Self {
            pieces: [r, public, first, second],
            bits: (r.len() + public.len() + message.len()) as u128 * 8,
            left: message.blocks(),
            is_ended: false,
        }
    }

    /// The next block, put together in `room` where it has to be.
    pub(crate) fn next<'b>(&mut self, room: &'b mut [u8; BLOCK]) -> Option<&'b [u8; BLOCK]>
    where
        'a: 'b,
    {
        self.left = self.left.checked_sub(1)?;
        let current = self.pieces.iter_mut().find(|piece| !piece.is_empty());
        if let Some(piece) = current
            && let Some((block, rest)) = piece.split_first_chunk()
        {
            *piece = rest;
            return Some(block);
        }
        let mut filled = 0;
        for piece in &mut self.pieces {
            let (head, rest) = piece.split_at(piece.len().min(BLOCK - filled));
            room[filled..filled + head.len()].copy_from_slice(head);
            filled += head.len();
            *piece = rest;
        }
        if filled < BLOCK {
            room[filled..].fill(0);
            if !self.is_ended {
                room[filled] = 0x80;
                self.is_ended = true;
            }
        }
        if self.left == 0 {
            room[BLOCK - 16..].copy_from_slice(&self.bits.to_be_bytes());
        }
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_the_padded_message() {
        let bytes: Vec<u8> = (0..700u32).map(|i| (i * 7 + 1) as u8).collect();
        let (r, public) = ([1; 32], [2; 32]);
        for length in 0..=bytes.len() {
            for cut in [0, 1, 63, 64, 65, 191, 192, 193, length / 2, length] {
                let message = &bytes[..length];
                let (first, second) = message.split_at(cut.min(length));
                let mut padded = [&r[..], &public, message, &[0x80]].concat();
                padded.resize((padded.len() + 16).next_multiple_of(BLOCK) - 16, 0);
                padded.extend_from_slice(&((length as u128 + 64) * 8).to_be_bytes());

                let message = Message::joined(first, second);
                let mut blocks = Blocks::new(&r, &public, message);
                let (mut made, mut room) = (Vec::new(), [0xaa; BLOCK]);
                while let Some(block) = blocks.next(&mut room) {
                    made.extend_from_slice(block);
                }
                assert_eq!(made, padded, "{length} bytes, cut at {cut}");
                assert_eq!(made.len(), message.blocks() * BLOCK);
            }
        }
    }
}
