//! What the kernel and the dynamic loader read of a program's file: ELF of 64 bits, little-endian.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Types of segments: what is loaded, the dynamic section, the path of the loader.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;

/// The size of a segment's entry in the table of segments, in bytes.
const SEGMENT: u16 = 56;

/// Entries of the dynamic section: the table of strings, and where libraries are looked for.
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// The longest path that is read, in bytes.
const MAX_PATH: u64 = 4096;

/// The longest dynamic section that is read, in bytes.
const MAX_DYNAMIC: u64 = 64 << 10;

/// A program's file and its segments.
struct Program {
    file: File,
    segments: Vec<Segment>,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// The dynamic loader of a program, if it names one.
pub(crate) fn dynamic_loader(binary: &Path) -> Option<PathBuf> {
    let program = Program::open(binary)?;
    let segment = program.segment(PT_INTERP)?;
    let path = program.read(segment.offset, segment.size.min(MAX_PATH))?;
    let path = path.strip_suffix(b"\0")?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// The files whose names begin with `name` in the directories where a program says that its libraries are.
pub(crate) fn libraries(binary: &Path, name: &str) -> Vec<PathBuf> {
    let directories = Program::open(binary).and_then(|program| program.library_paths(binary));
    let entries = directories.into_iter().flatten();
    let entries = entries.flat_map(|directory| fs::read_dir(directory).into_iter().flatten());
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_bytes().starts_with(name.as_bytes()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

impl Program {
    fn open(path: &Path) -> Option<Program> {
        let mut program = Program {
            file: File::open(path).ok()?,
            segments: Vec::new(),
        };
        let header = program.read(0, 64)?;
        // Class 2 is 64 bits, data 1 is little-endian.
        if header[..6] != *b"\x7fELF\x02\x01" {
            return None;
        }
        let (table, size, count) = (word(&header, 32)?, half(&header, 54)?, half(&header, 56)?);
        // The kernel takes no other size.
        if size != SEGMENT {
            return None;
        }
        let table = program.read(table, u64::from(size) * u64::from(count))?;
        for entry in table.chunks_exact(usize::from(size)) {
            program.segments.push(Segment {
                kind: u32::from_le_bytes(*entry.first_chunk()?),
                offset: word(entry, 8)?,
                address: word(entry, 16)?,
                size: word(entry, 32)?,
            });
        }
        Some(program)
    }

    fn segment(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    fn read(&self, offset: u64, length: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.file
            .read_exact_at(&mut bytes, offset)
            .ok()
            .map(|()| bytes)
    }

    /// The directories of `DT_RUNPATH`, or of `DT_RPATH`, which came before it.
    fn library_paths(&self, binary: &Path) -> Option<Vec<PathBuf>> {
        let segment = self.segment(PT_DYNAMIC)?;
        let dynamic = self.read(segment.offset, segment.size.min(MAX_DYNAMIC))?;
        let entry = |tag: u64| {
            let mut entries = dynamic.chunks_exact(16);
            let found = entries.find(|entry| word(entry, 0) == Some(tag))?;
            word(found, 8)
        };
        let strings = entry(DT_STRTAB)?;
        let at = strings.checked_add(entry(DT_RUNPATH).or_else(|| entry(DT_RPATH))?)?;
        let mut loaded = self
            .segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD);
        let loaded = loaded.find(|segment| {
            at.checked_sub(segment.address)
                .is_some_and(|below| below < segment.size)
        })?;
        let below = at - loaded.address;
        let bytes = self.read(
            loaded.offset.checked_add(below)?,
            (loaded.size - below).min(MAX_PATH),
        )?;
        let text = bytes.split(|byte| *byte == 0).next()?;
        let origin = binary.parent()?;
        let paths = text.split(|byte| *byte == b':').map(OsStr::from_bytes);
        let expanded = paths.map(|path| {
            let path = Path::new(path);
            let rest = ["$ORIGIN", "${ORIGIN}"]
                .iter()
                .find_map(|own| path.strip_prefix(own).ok());
            rest.map_or_else(|| path.to_path_buf(), |rest| origin.join(rest))
        });
        Some(expanded.filter(|path| path.is_absolute()).collect())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    /// A program with one loaded segment, a loader, and a dynamic section that names these directories.
    fn program(tag: u64, directories: &str) -> Vec<u8> {
        let (segments, dynamic) = (64, 64 + 3 * 56);
        let loader = dynamic + 3 * 16;
        let strings = loader + 8;
        let end = strings + 1 + directories.len() + 1;
        let address = 0x40_0000;
        let mut file = vec![0; end];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |at: usize, value: u64| {
            file[at..at + 8].copy_from_slice(&(value).to_le_bytes());
        };
        put(32, segments as u64);
        let described = [
            (PT_LOAD, 0, end),
            (PT_DYNAMIC, dynamic, 3 * 16),
            (PT_INTERP, loader, 8),
        ];
        for (index, (kind, offset, size)) in described.into_iter().enumerate() {
            let at = segments + index * 56;
            put(at, kind.into());
            put(at + 8, offset as u64);
            put(at + 16, (address + offset) as u64);
            put(at + 32, size as u64);
        }
        put(dynamic, DT_STRTAB);
        put(dynamic + 8, (address + strings) as u64);
        put(dynamic + 16, tag);
        put(dynamic + 24, 1);
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&3_u16.to_le_bytes());
        file[loader..loader + 8].copy_from_slice(b"/ld.so.\0");
        file[strings + 1..end - 1].copy_from_slice(directories.as_bytes());
        file
    }

    #[test]
    fn libraries_are_where_the_program_says() {
        let dir = TempDir::new();
        let root = fs::canonicalize(dir.path()).unwrap();
        for name in ["bin", "lib", "far"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        for name in [
            "lib/libpython3.so",
            "lib/libother.so",
            "far/libpython3.12.so.1.0",
        ] {
            fs::write(root.join(name), "").unwrap();
        }
        let binary = root.join("bin/python3");
        let found = |tag, directories: &str| {
            let directories = directories.replace("ROOT", root.to_str().unwrap());
            fs::write(&binary, program(tag, &directories)).unwrap();
            assert_eq!(dynamic_loader(&binary), Some(PathBuf::from("/ld.so.")));
            let mut found: Vec<PathBuf> = libraries(&binary, "libpython3")
                .iter()
                .map(|path| fs::canonicalize(path).unwrap())
                .collect();
            found.sort();
            found
        };
        let (near, far) = (
            root.join("lib/libpython3.so"),
            root.join("far/libpython3.12.so.1.0"),
        );
        assert_eq!(
            found(DT_RUNPATH, "$ORIGIN/../lib"),
            std::slice::from_ref(&near)
        );
        assert_eq!(found(DT_RPATH, "${ORIGIN}/../lib:ROOT/far"), [far, near]);
        for other in ["", "lib", "ROOT/absent"] {
            assert_eq!(found(DT_RUNPATH, other), Vec::<PathBuf>::new(), "{other}");
        }
        assert_eq!(found(7, "ROOT/far"), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_no_program_has_none() {
        let dir = TempDir::new();
        let path = dir.path().join("x");
        let whole = program(DT_RUNPATH, "/lib");
        for length in [0, 5, 63, 64, 100, 240] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(dynamic_loader(&path), None, "{length}");
            assert!(libraries(&path, "").is_empty(), "{length}");
        }
    }
}
