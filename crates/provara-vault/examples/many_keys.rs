//! Appends events that several keys sign in turn, for the benchmarks: `many_keys VAULT KEYS SOURCE`, where VAULT is one
//! without a mark, with its keyfile in it, and SOURCE has a record to a line, as `provara append --batch` takes them.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use provara_core::id::KeyId;
use provara_core::json::{self, Value};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::layout;
use provara_vault::{AdoptOptions, AppendRequest, BatchOptions, LogWriter, Vault, read_keyfile};

/// How many records go to the writer at a time.
const PIECE: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let made = match arguments.as_slice() {
        [vault, keys, source] => match keys.parse() {
            Ok(keys) => make(Path::new(vault), keys, Path::new(source)),
            Err(_) => Err("KEYS is a number".into()),
        },
        _ => Err("usage: many_keys VAULT KEYS SOURCE".into()),
    };
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("many_keys: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(path: &Path, count: u8, source: &Path) -> Result<(), Box<dyn Error>> {
    let keyfile = path.join("identity/private_keys.json");
    let mut keys = read_keyfile(&keyfile)?.keys().to_vec();
    fs::remove_file(keyfile)?;
    let more: Vec<SigningKey> = (1..count)
        .map(|n| SigningKey::from_seed(&[n; 32]))
        .collect();
    // The file is edited, and the owner accepts what it says, once and for all: such a vault becomes one with a mark.
    let listed = path.join(layout::KEYS);
    let mut registry = KeyRegistry::parse(&fs::read(&listed)?)?;
    for key in &more {
        let mut entry = registry.keys[0].clone();
        entry.key_id = key.key_id();
        entry.public_key = key.public();
        registry.keys.push(entry);
    }
    fs::write(&listed, registry.to_json())?;
    keys.extend(more);
    let ids: Vec<KeyId> = keys.iter().map(SigningKey::key_id).collect();
    let keyfile = Keyfile::new(keys);
    let vault = Vault::open(path)?;
    let trust = ids.clone();
    vault.adopt(
        &keyfile,
        &AdoptOptions {
            trust,
            ..AdoptOptions::default()
        },
    )?;

    let text = fs::read(source)?;
    let mut writer =
        LogWriter::open_with(&vault, &keyfile)?.batch(&keyfile, BatchOptions::default());
    let lines: Vec<&[u8]> = text
        .split(|byte| *byte == b'\n')
        .filter(|it| !it.is_empty())
        .collect();
    let mut next = ids.iter().cycle();
    for piece in lines.chunks(PIECE) {
        let requests: Result<Vec<_>, Box<dyn Error>> = piece
            .iter()
            .map(|line| {
                let mut request = request(line)?;
                request.key_id = next.next().copied();
                Ok(request)
            })
            .collect();
        writer.append(requests?).map_err(|it| it.error)?;
    }
    writer.finish()?;
    Ok(())
}

/// What a record asks for.
fn request(line: &[u8]) -> Result<AppendRequest<'static>, Box<dyn Error>> {
    let record = json::parse(line)?.into_owned();
    let text = |name| {
        record
            .get(name)
            .and_then(Value::as_str)
            .ok_or("a member is missing")
    };
    let data = record.get("data").ok_or("there is no data")?.clone();
    Ok(AppendRequest::new(
        text("type")?.parse()?,
        data,
        text("actor")?,
    ))
}
