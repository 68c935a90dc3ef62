//! What is compressed with Zstandard (RFC 8878), one frame or several, unpacked as it is read.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// The frames of a file, one after another.
pub(super) struct Frames<R: BufRead>(State<R>);

enum State<R: BufRead> {
    /// Between two frames.
    Before(R),
    Within(Box<StreamingDecoder<R, FrameDecoder>>),
    /// After the last one, or after what is no frame.
    Ended,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(inner: R) -> Self {
        Self(State::Before(inner))
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ended => return Ok(0),
                State::Before(mut inner) => {
                    if inner.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(inner).map_err(io::Error::other)?;
                    self.0 = State::Within(Box::new(decoder));
                }
                State::Within(mut decoder) => match decoder.read(buffer)? {
                    0 => self.0 = State::Before(decoder.into_inner()),
                    length => {
                        self.0 = State::Within(decoder);
                        return Ok(length);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn frame(text: &[u8]) -> Vec<u8> {
        compress_to_vec(text, CompressionLevel::Fastest)
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Frames::new(bytes).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn frames_follow_each_other() {
        assert_eq!(unpacked(b"").unwrap(), b"");
        assert_eq!(unpacked(&frame(b"one")).unwrap(), b"one");
        let two = [frame(b"one"), frame(b""), frame(b"two")].concat();
        assert_eq!(unpacked(&two).unwrap(), b"onetwo");
        assert!(unpacked(&[two.clone(), b"rest".to_vec()].concat()).is_err());
        assert!(unpacked(&two[..two.len() - 1]).is_err());
    }
}
