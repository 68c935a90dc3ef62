//! Gzip (RFC 1952) written on all cores.
//!
//! The input is cut into blocks that are compressed apart from each other, each to the end of a byte (a sync
//! flush, RFC 1951, section 3.2.4), and put together as one member: any reader takes it as one stream. The bytes
//! do not depend on the number of threads.

use std::io::{self, Write};

use crc32fast::Hasher;
use flate2::{Compress, Compression, FlushCompress, Status};

use provara_core::parallel;

/// The length of a block before it is compressed, in bytes. What a block repeats of the one before it is written
/// again, which costs less than a hundredth at this length.
const BLOCK: usize = 1 << 20;

/// How many blocks are gathered for each thread.
const BLOCKS: usize = 4;

/// Deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A last block of the deflate format that holds nothing.
const LAST: [u8; 2] = [3, 0];

/// Compresses what is written to it into `out`.
#[derive(Debug)]
pub(super) struct GzipWriter<W: Write> {
    out: W,
    threads: usize,
    waiting: Vec<u8>,
    crc: Hasher,
    length: u64,
}

impl<W: Write> GzipWriter<W> {
    pub(super) fn new(mut out: W, threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(Self {
            out,
            threads,
            waiting: Vec::new(),
            crc: Hasher::new(),
            length: 0,
        })
    }

    /// Writes what is still to be written, and gives `out` back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.compress()?;
        self.out.write_all(&LAST)?;
        self.out.write_all(&self.crc.finalize().to_le_bytes())?;
        // Modulo 2^32, as the format has it.
        self.out.write_all(&(self.length as u32).to_le_bytes())?;
        Ok(self.out)
    }

    fn compress(&mut self) -> io::Result<()> {
        let blocks: Vec<&[u8]> = self.waiting.chunks(BLOCK).collect();
        for (packed, crc) in parallel::each(blocks, self.threads, pack) {
            self.out.write_all(&packed)?;
            self.crc.combine(&crc);
        }
        self.length += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = self.threads * BLOCKS * BLOCK;
        let taken = bytes.len().min(most - self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == most {
            self.compress()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A block in deflate format up to the end of a byte, and its checksum.
fn pack(block: &[u8]) -> (Vec<u8>, Hasher) {
    let mut crc = Hasher::new();
    crc.update(block);
    let mut compress = Compress::new(Compression::default(), false);
    let mut packed = Vec::with_capacity(block.len() / 2);
    loop {
        let read = compress.total_in() as usize;
        let status = compress.compress_vec(&block[read..], &mut packed, FlushCompress::Sync);
        let done = compress.total_in() as usize == block.len();
        match status {
            // With room left, the flush is over, too.
            Ok(Status::Ok | Status::BufError) if done && packed.len() < packed.capacity() => break,
            Ok(_) => packed.reserve(BLOCK / 4),
            Err(error) => unreachable!("compressing has no error of its own: {error}"),
        }
    }
    (packed, crc)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::bufread::GzDecoder;

    use super::*;

    #[test]
    fn what_is_written_on_any_number_of_threads_is_one_member_of_the_same_bytes() {
        // Text that compresses, and bytes that do not.
        let mut bytes: Vec<u8> = (0..9 * BLOCK).map(|at| (at % 251) as u8).collect();
        let mut random: u64 = 1;
        for byte in &mut bytes[3 * BLOCK..6 * BLOCK] {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (random >> 56) as u8;
        }
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, bytes.len()] {
            let pack = |threads, step: usize| {
                let mut writer = GzipWriter::new(Vec::new(), threads).unwrap();
                for piece in bytes[..length].chunks(step) {
                    writer.write_all(piece).unwrap();
                }
                writer.finish().unwrap()
            };
            let packed = pack(1, BLOCK / 3);
            assert_eq!(packed, pack(3, 5 * BLOCK));
            let mut reader = GzDecoder::new(packed.as_slice());
            let mut found = Vec::new();
            reader.read_to_end(&mut found).unwrap();
            assert!(found == bytes[..length], "{length}");
            assert!(reader.into_inner().is_empty(), "one member");
        }
    }

    #[test]
    fn what_the_output_refuses_is_told() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0 < bytes.len() {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0 -= bytes.len();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(GzipWriter::new(Full(9), 2).is_err());
        let mut writer = GzipWriter::new(Full(1000), 2).unwrap();
        let bytes: Vec<u8> = (0..20 * BLOCK).map(|at| (at % 251) as u8).collect();
        let error = writer.write_all(&bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
