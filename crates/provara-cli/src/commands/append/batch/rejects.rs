//! The refused records of a batch, in a file of their own: it appears whole when the batch ends, or not at all.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use provara_plugins::staging::Staging;
use provara_report::{Diagnostic, ERROR_LABEL, FIX_LABEL};
use provara_vault::Vault;
use serde_json::value::RawValue;

use super::place::{MAX_RECORD, Placed};
use super::record::Refusal;
use super::rejected::Line;
use crate::output_file;

/// What each line of the file begins with.
const BEGIN: &[u8] = b"{\"line\":";

/// Where refused records go.
pub(super) struct Rejects {
    output: Staging,
    file: BufWriter<File>,
    pub(super) count: u64,
}

impl Rejects {
    /// Checks, before any work is done, that the file may be written: outside of the vault, in the place of
    /// nothing but such a file of an earlier batch.
    pub(super) fn check(path: &Path, vault: &Vault) -> Result<(), Diagnostic> {
        output_file::refuse_special(path)?;
        let earlier = match File::open(path) {
            Err(_) => false,
            Ok(file) => {
                let mut begin = Vec::new();
                let read = file.take(BEGIN.len() as u64).read_to_end(&mut begin);
                read.is_ok() && (begin.is_empty() || begin == BEGIN)
            }
        };
        output_file::check(path, earlier, vault).map_err(|failure| {
            match path.exists() && !earlier {
                true => failure.fix(
                    "Name another file: only the refused records of an earlier batch are replaced.",
                ),
                false => failure,
            }
        })
    }

    /// Makes the place where the file comes into being. One of an earlier batch is replaced when this one ends.
    pub(super) fn prepare(path: &Path, vault: &Vault) -> Result<Self, Diagnostic> {
        let output = output_file::prepare(path, true, vault)?;
        let failed = |error| provara_explain::io_failure("write", output.target(), &error);
        let file = File::create_new(output.output()).map_err(failed)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
            output,
            count: 0,
        })
    }

    /// Writes a record that was refused: as it is if it is JSON, else as text, and in hexadecimal digits what is no
    /// text.
    pub(super) fn add(&mut self, record: &Placed, refusal: &Refusal) -> Result<(), Diagnostic> {
        self.count += 1;
        let written = self.write(record, refusal);
        written.map_err(|error| provara_explain::io_failure("write", self.output.target(), &error))
    }

    fn write(&mut self, (place, record): &Placed, refusal: &Refusal) -> io::Result<()> {
        // What is longer than a record may be was not kept whole.
        let kept = record.len() <= MAX_RECORD;
        let text = str::from_utf8(record).ok().filter(|_| kept);
        let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        // On one line it stays as it is; in a document it may go over several.
        let json = json.filter(|json| !json.get().contains('\n'));
        let line = Line {
            line: place.line,
            record_number: place.record,
            code: refusal.code,
            reason: &reason(&refusal.failure),
            record: json,
            text: text.filter(|_| json.is_none()),
            hex: (kept && text.is_none()).then(|| hex(record)),
        };
        serde_json::to_writer(&mut self.file, &line)?;
        self.file.write_all(b"\n")
    }

    /// Gives the file its name.
    pub(super) fn commit(self) -> Result<(), Diagnostic> {
        let failed = |error| provara_explain::io_failure("write", self.output.target(), &error);
        let file = self.file.into_inner();
        let file = file.map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        output_file::commit(self.output)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What went wrong, in one line and without what helps.
fn reason(failure: &Diagnostic) -> String {
    let text = failure.to_string();
    let lines = text.lines().map(str::trim);
    let told = lines.filter(|line| !line.starts_with(FIX_LABEL) && !line.is_empty());
    let told: Vec<_> = told
        .map(|line| line.trim_start_matches(ERROR_LABEL).trim())
        .collect();
    told.join(" ")
}
