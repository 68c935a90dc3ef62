//! The bytes of a batch: a file or standard input, unpacked where it is compressed.
//!
//! What the input is, its first bytes say, not its name. Compressed data is unpacked by a thread of its own,
//! which fills a pipe, so that whoever reads waits for either kind of input in the same way, and holds no more
//! of it than a window of the format.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, PipeReader, Read, Seek, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use flate2::bufread::GzDecoder;
use provara_plugins::interrupt::Guard;
use provara_report::{Class, Diagnostic};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::stdio::stdin;

/// How much is read at a time, in bytes.
const CHUNK: usize = 1 << 20;

/// How many bytes tell what the input is.
const MAGIC: usize = 4;

/// What the batch is read from.
pub(super) struct Source {
    reader: BufReader<File>,
    name: String,
    /// The first bytes, while too few of them have come.
    head: Vec<u8>,
    begun: bool,
    /// Unpacks what `reader` reads.
    unpacking: Option<Unpacking>,
    /// The input itself, to ask how far it was read; none for what has no length.
    measured: Option<(File, u64)>,
}

struct Unpacking {
    format: &'static str,
    thread: JoinHandle<io::Result<()>>,
}

/// What there is to read.
pub(super) enum Available<'s> {
    /// These bytes. Who takes some of them says so ([`Source::consume`]).
    Bytes(&'s [u8]),
    /// Nothing yet.
    Nothing,
    /// The input has ended.
    End,
}

/// What an input is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text {
        mark: usize,
    },
    Gzip,
    Zstd,
    Utf16,
    /// It may be one of those.
    Unclear,
}

impl Source {
    pub(super) fn open(source: &str) -> Result<Self, Diagnostic> {
        let (file, name) = match source {
            "-" => (
                stdin().and_then(|input| input.as_fd().try_clone_to_owned().map(File::from)),
                "standard input",
            ),
            path => (File::open(path), path),
        };
        let file = file.map_err(|error| unreadable(name, &error))?;
        let metadata = file.metadata();
        if metadata.as_ref().is_ok_and(|data| data.is_dir()) {
            return Err(Diagnostic::new(
                Class::Usage,
                format!("'{name}' is a directory, not a batch."),
            )
            .fix("Name a file of lines {\"type\":…,\"data\":{…}}; '-' reads standard input."));
        }
        let measured = metadata.ok().filter(|it| it.is_file() && it.len() > 0);
        let measured = measured.and_then(|it| Some((file.try_clone().ok()?, it.len())));
        Ok(Self {
            measured,
            ..Self::of(file, name.to_owned())
        })
    }

    fn of(file: File, name: String) -> Self {
        Self {
            reader: BufReader::with_capacity(CHUNK, file),
            name,
            head: Vec::new(),
            begun: false,
            unpacking: None,
            measured: None,
        }
    }

    /// How many bytes of the input were read, and how many it has; none for what has no length.
    pub(super) fn progress(&mut self) -> Option<(u64, u64)> {
        let (file, length) = self.measured.as_mut()?;
        Some((file.stream_position().ok()?.min(*length), *length))
    }

    /// What there is to read, or comes within a time.
    pub(super) fn available(
        &mut self,
        guard: &Guard,
        limit: Option<Duration>,
    ) -> Result<Available<'_>, Diagnostic> {
        while !self.begun {
            if !self.ready(guard, limit)? {
                return Ok(Available::Nothing);
            }
            self.begin()?;
        }
        if !self.head.is_empty() {
            return Ok(Available::Bytes(&self.head));
        }
        if !self.ready(guard, limit)? {
            return Ok(Available::Nothing);
        }
        let filled = self.reader.fill_buf();
        if filled
            .as_ref()
            .map_err(|error| unreadable(&self.name, error))?
            .is_empty()
        {
            if let Some(unpacking) = self.unpacking.take() {
                unpacking.end(&self.name)?;
            }
            return Ok(Available::End);
        }
        Ok(Available::Bytes(self.reader.buffer()))
    }

    /// Takes so many of the bytes that are available.
    pub(super) fn consume(&mut self, count: usize) {
        if self.head.is_empty() {
            self.reader.consume(count);
        } else {
            self.head.drain(..count);
        }
    }

    /// Whether there is something to read, or the end of it, within a time.
    fn ready(&self, guard: &Guard, limit: Option<Duration>) -> Result<bool, Diagnostic> {
        if !self.reader.buffer().is_empty() {
            return Ok(true);
        }
        let ready = guard.wait_for(self.reader.get_ref().as_fd(), limit);
        match guard.received() {
            Some(signal) => Err(provara_explain::interrupted(signal)),
            None => ready.map_err(|error| unreadable(&self.name, &error)),
        }
    }

    /// Looks at the first bytes, and begins to unpack what they say is compressed.
    fn begin(&mut self) -> Result<(), Diagnostic> {
        let there = self.reader.fill_buf();
        let there = there.map_err(|error| unreadable(&self.name, &error))?;
        let ended = there.is_empty();
        let taken = there.len().min(MAGIC - self.head.len());
        self.head.extend_from_slice(&there[..taken]);
        self.reader.consume(taken);
        let kind = match kind_of(&self.head) {
            // It has no more bytes than these.
            Kind::Unclear if ended => Kind::Text { mark: 0 },
            kind => kind,
        };
        match kind {
            Kind::Unclear => return Ok(()),
            Kind::Text { mark } => drop(self.head.drain(..mark)),
            Kind::Gzip => self.unpack("gzip", unpack_gzip)?,
            Kind::Zstd => self.unpack("zstd", unpack_zstd)?,
            Kind::Utf16 => {
                return Err(Diagnostic::new(
                    Class::Usage,
                    format!("The batch in '{}' is UTF-16, not UTF-8.", self.name),
                )
                .fix("Convert it: iconv -f UTF-16 -t UTF-8 FILE | provara append … --batch -"));
            }
        }
        // What was unpacked may begin with a mark, and is not unpacked again.
        self.begun = !matches!(kind, Kind::Gzip | Kind::Zstd);
        Ok(())
    }

    /// Puts a pipe in the place of the input, which a thread fills.
    fn unpack(
        &mut self,
        format: &'static str,
        unpack: impl FnOnce(&mut dyn BufRead, &mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Diagnostic> {
        let failed = |error| unreadable(&self.name, &error);
        if self.unpacking.is_some() {
            return Err(Diagnostic::new(
                Class::Usage,
                format!("'{}' is compressed twice.", self.name),
            )
            .fix("Unpack it once, and pipe it in: … | provara append … --batch -"));
        }
        let (output, mut input): (PipeReader, _) = pipe().map_err(failed)?;
        let next = BufReader::with_capacity(CHUNK, File::from(OwnedFd::from(output)));
        let packed = std::mem::replace(&mut self.reader, next);
        let head = Cursor::new(std::mem::take(&mut self.head));
        let thread = thread::Builder::new().spawn(move || {
            let mut packed = BufReader::with_capacity(CHUNK, head.chain(packed));
            match unpack(&mut packed, &mut input) {
                // Whoever read has enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                unpacked => unpacked,
            }
        });
        self.unpacking = Some(Unpacking {
            format,
            thread: thread.map_err(failed)?,
        });
        Ok(())
    }
}

impl Unpacking {
    /// What became of it, once the pipe has ended.
    fn end(self, name: &str) -> Result<(), Diagnostic> {
        let format = self.format;
        let panicked = |_| Err(io::Error::other("the decoder failed"));
        let Err(error) = self.thread.join().unwrap_or_else(panicked) else {
            return Ok(());
        };
        let follows = error.get_ref().and_then(|it| it.downcast_ref::<Follows>());
        if let Some(Follows { at }) = follows {
            let file = match name {
                "standard input" => "FILE".to_owned(),
                path => provara_report::shell(Path::new(path)),
            };
            return Err(Diagnostic::new(
                Class::Usage,
                format!("Something follows the end of the {format} data of '{name}', at byte {at}."),
            )
            .fix(format!(
                "Find out what it is. If the batch is whole without it, take what stands before it: \
                 head -c {at} {file} | provara append … --batch -"
            )));
        }
        let headline = match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("'{name}' ends inside its {format} data."),
            _ => format!("The {format} data of '{name}' cannot be unpacked: {error}."),
        };
        Err(Diagnostic::new(Class::Usage, headline).fix(format!(
            "Get the file again, whole: '{} -t' tells whether it is.",
            if format == "gzip" { "gzip" } else { "zstd" }
        )))
    }
}

/// What the first bytes say.
fn kind_of(head: &[u8]) -> Kind {
    let Some(first) = head.first() else {
        return Kind::Unclear;
    };
    // The last is a frame to be skipped, of which there are sixteen kinds.
    let forms: [(&[u8], Kind); 6] = [
        (&[0x1f, 0x8b], Kind::Gzip),
        (&[0xef, 0xbb, 0xbf], Kind::Text { mark: 3 }),
        (&[0xff, 0xfe], Kind::Utf16),
        (&[0xfe, 0xff], Kind::Utf16),
        (&[0x28, 0xb5, 0x2f, 0xfd], Kind::Zstd),
        (&[0x50 | first & 0x0f, 0x2a, 0x4d, 0x18], Kind::Zstd),
    ];
    for (magic, kind) in forms {
        if head.starts_with(magic) {
            return kind;
        }
        if magic.starts_with(head) {
            return Kind::Unclear;
        }
    }
    Kind::Text { mark: 0 }
}

/// Something follows the packed data that is no part of it.
#[derive(Debug)]
struct Follows {
    /// How many bytes stand before it.
    at: u64,
}

impl fmt::Display for Follows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something follows its end, at byte {}", self.at)
    }
}

impl std::error::Error for Follows {}

/// Unpacks every member. Zeros that fill up a block or a tape at the end are passed over, as gzip(1) does.
fn unpack_gzip(input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut input = Counted { input, taken: 0 };
    let follows = |at| Err(io::Error::other(Follows { at }));
    loop {
        let begin = input.taken;
        let mut member = GzDecoder::new(&mut input);
        match io::copy(&mut member, out) {
            // Its first byte is that of a member, and what follows is no header of one.
            Err(error)
                if begin > 0
                    && member.header().is_none()
                    && error.kind() == io::ErrorKind::InvalidInput =>
            {
                return follows(begin);
            }
            unpacked => unpacked?,
        };
        let mut filled = false;
        loop {
            let taken = input.taken;
            let ahead = input.fill_buf()?;
            let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
            match ahead.get(zeros) {
                None if ahead.is_empty() => return Ok(()),
                None => {}
                Some(0x1f) if !filled && zeros == 0 => break,
                Some(_) => return follows(taken + zeros as u64),
            }
            filled = true;
            input.consume(zeros);
        }
    }
}

/// An input that counts what is taken of it.
struct Counted<'i> {
    input: &'i mut dyn BufRead,
    taken: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.taken += count as u64;
        Ok(count)
    }
}

impl BufRead for Counted<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken += count as u64;
        self.input.consume(count);
    }
}

/// Unpacks every frame, and holds each against its checksum where it has one.
fn unpack_zstd(input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut input = Ending {
        input: Counted { input, taken: 0 },
        met: false,
    };
    let unpacked = unpack_frames(&mut input, out);
    match unpacked {
        Err(error)
            if input.met
                && error.kind() == io::ErrorKind::Other
                && !error.get_ref().is_some_and(|error| error.is::<Follows>()) =>
        {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
        unpacked => unpacked,
    }
}

/// Whether bytes are how a frame begins (RFC 8878, section 3.1), as far as there are any.
fn begins_frame(head: &[u8]) -> bool {
    let whole = [0x28, 0xb5, 0x2f, 0xfd];
    let skipped = |head: &[u8]| match head {
        [first, rest @ ..] => first & 0xf0 == 0x50 && [0x2a, 0x4d, 0x18].starts_with(rest),
        [] => true,
    };
    whole.starts_with(head) || skipped(head)
}

fn unpack_frames(input: &mut Ending<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut decoder = FrameDecoder::new();
    loop {
        let begin = input.input.taken;
        let mut head = Vec::with_capacity(4);
        input.by_ref().take(4).read_to_end(&mut head)?;
        if head.is_empty() {
            return Ok(());
        }
        if begin > 0 && !begins_frame(&head) {
            return Err(io::Error::other(Follows { at: begin }));
        }
        match decoder.reset(head.as_slice().chain(&mut *input)) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                if io::copy(&mut input.by_ref().take(length), &mut io::sink())? < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            Err(error) => return Err(io::Error::other(error)),
        }
        while !decoder.is_finished() {
            decoder
                .decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
            decoder.collect_to_writer(&mut *out)?;
        }
        decoder.collect_to_writer(&mut *out)?;
        let stated = decoder.get_checksum_from_data();
        if stated.is_some() && stated != decoder.get_calculated_checksum() {
            return Err(io::Error::other("the checksum of a frame does not fit"));
        }
    }
}

/// An input that notes when more is asked of it than it has: the decoder's errors do not say so alike.
struct Ending<'i> {
    input: Counted<'i>,
    met: bool,
}

impl Read for Ending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.met |= count == 0 && !buffer.is_empty();
        Ok(count)
    }
}

pub(super) fn unreadable(source: &str, error: &io::Error) -> Diagnostic {
    Diagnostic::new(
        Class::Unavailable,
        format!("The batch could not be read from '{source}': {error}."),
    )
    .fix("Check the path; '-' reads standard input.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_an_input_is() {
        let cases: [(&[u8], Kind); 12] = [
            (b"", Kind::Unclear),
            (b"{\"ty", Kind::Text { mark: 0 }),
            (b"\n", Kind::Text { mark: 0 }),
            (b"(", Kind::Unclear),
            (b"(x", Kind::Text { mark: 0 }),
            (b"\x1f", Kind::Unclear),
            (b"\x1f\x8b\x08\x00", Kind::Gzip),
            (b"(\xb5/\xfd", Kind::Zstd),
            (b"\x5e*M\x18", Kind::Zstd),
            (b"\xef\xbb", Kind::Unclear),
            (b"\xef\xbb\xbf{", Kind::Text { mark: 3 }),
            (b"\xff\xfe{\0", Kind::Utf16),
        ];
        for (head, kind) in cases {
            assert_eq!(kind_of(head), kind, "{head:?}");
        }
    }

    fn unpacked(
        unpack: impl Fn(&mut dyn BufRead, &mut dyn Write) -> io::Result<()>,
        packed: &[u8],
    ) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unpack(&mut &*packed, &mut out).map(|()| out)
    }

    #[test]
    fn every_member_is_unpacked_and_no_part_of_one_is_the_whole() {
        use flate2::Compression;
        use flate2::write::GzEncoder;
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let text = b"{\"a\":1}\n".repeat(1000);
        let member = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&text).unwrap();
            encoder.finish().unwrap()
        };
        let frame = || compress_to_vec(&text[..], CompressionLevel::Fastest);
        let skipped = b"\x50*M\x18\x03\0\0\0abc";
        let gzip = [member(), member()].concat();
        let zstd = [&skipped[..], &frame(), skipped, &frame()].concat();
        let both = text.repeat(2);
        assert_eq!(unpacked(unpack_gzip, &gzip).unwrap(), both);
        assert_eq!(unpacked(unpack_zstd, &zstd).unwrap(), both);
        for zeros in [1, 511, 3 << 20] {
            let padded = [&gzip[..], &vec![0; zeros]].concat();
            assert_eq!(unpacked(unpack_gzip, &padded).unwrap(), both);
            let more = [&padded[..], &member()].concat();
            let mut pieces = BufReader::with_capacity(512, &*more);
            let error = unpack_gzip(&mut pieces, &mut Vec::new()).unwrap_err();
            let at = format!("follows its end, at byte {}", padded.len());
            assert!(error.to_string().contains(&at), "{error}");
        }
        for other in [&b"x"[..], b"{\"a\":1}\n", b"\x1fx and more than a header"] {
            let more = [&gzip[..], other].concat();
            for size in [1, 512] {
                let mut pieces = BufReader::with_capacity(size, &*more);
                let error = unpack_gzip(&mut pieces, &mut Vec::new()).unwrap_err();
                let at = format!("follows its end, at byte {}", gzip.len());
                assert!(error.to_string().contains(&at), "{error}");
            }
        }
        for other in [
            &b"x"[..],
            b"\0",
            b"(\xb5x",
            b"{\"a\":1}\n",
            b"\x5e*M\x19 and more than a header",
        ] {
            let more = [&zstd[..], other].concat();
            for size in [1, 512] {
                let mut pieces = BufReader::with_capacity(size, &*more);
                let error = unpack_zstd(&mut pieces, &mut Vec::new()).unwrap_err();
                let at = format!("follows its end, at byte {}", zstd.len());
                assert!(error.to_string().contains(&at), "{error}");
            }
        }
        // A member that is damaged is no other thing.
        let mut damaged = gzip.clone();
        *damaged.last_mut().unwrap() ^= 1;
        let error = unpacked(unpack_gzip, &damaged).unwrap_err();
        assert!(!error.to_string().contains("follows"), "{error}");
        for cut in 1..member().len() {
            let error = unpacked(unpack_gzip, &gzip[..gzip.len() - cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}");
        }
        for cut in 1..frame().len() {
            let error = unpacked(unpack_zstd, &zstd[..zstd.len() - cut]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{cut}: {error}");
        }
    }
}
