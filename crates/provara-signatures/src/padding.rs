//! The blocks that SHA-256 makes of a message.

/// The length of a block.
pub(crate) const BLOCK: usize = 64;

/// What ends a message: one byte, and its length in eight.
const END: usize = 9;

/// How many blocks a message of this length takes.
pub(crate) fn blocks_of(length: usize) -> usize {
    (length + END).div_ceil(BLOCK)
}

/// A message and its padding (FIPS 180-4, section 5.1.1). The blocks that lie within the message are not copied.
pub(crate) struct Padded<'a> {
    whole: &'a [[u8; BLOCK]],
    ends: [[u8; BLOCK]; 2],
    blocks: usize,
}

impl<'a> Padded<'a> {
    /// No message, not even an empty one.
    pub(crate) const EMPTY: Self = Self {
        whole: &[],
        ends: [[0; BLOCK]; 2],
        blocks: 0,
    };

    pub(crate) fn new(message: &'a [u8]) -> Self {
        let (whole, rest) = message.as_chunks();
        let blocks = blocks_of(message.len());
        let mut ends = [[0; BLOCK]; 2];
        let bytes = ends.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;
        let end = (blocks - whole.len()) * BLOCK;
        bytes[end - 8..end].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
        Self {
            whole,
            ends,
            blocks,
        }
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The block at `index`.
    #[inline]
    pub(crate) fn block(&self, index: usize) -> Option<&[u8; BLOCK]> {
        match self.whole.get(index) {
            Some(block) => Some(block),
            None if index < self.blocks => Some(&self.ends[index - self.whole.len()]),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_those_of_the_padded_message() {
        let bytes: Vec<u8> = (0..400u32).map(|i| (i * 7 + 1) as u8).collect();
        for length in 0..=bytes.len() {
            let message = &bytes[..length];
            let mut expected = [message, &[0x80]].concat();
            expected.resize((expected.len() + 8).next_multiple_of(BLOCK) - 8, 0);
            expected.extend_from_slice(&(length as u64 * 8).to_be_bytes());

            let padded = Padded::new(message);
            let blocks = (0..).map_while(|index| padded.block(index));
            let made: Vec<u8> = blocks.flatten().copied().collect();
            assert_eq!(made, expected, "{length} bytes");
            assert_eq!(made.len(), padded.blocks() * BLOCK);
            assert_eq!(padded.blocks(), blocks_of(length));
        }
    }
}
