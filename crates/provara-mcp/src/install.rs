//! Configurations of clients: printed, or added to the client's own file.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// A client whose configuration is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Claude Desktop.
    ClaudeDesktop,
    /// Claude Code, for all projects of the user.
    ClaudeCode,
    /// Cursor, for all projects of the user.
    Cursor,
    /// Visual Studio Code, in the folder that it opens.
    VsCode,
    /// Codex.
    Codex,
}

/// The server as a client starts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The server's name in the client.
    pub name: String,
    /// The executable.
    pub command: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The variables that it gets beside those of the client, by name.
    pub environment: Vec<(String, String)>,
}

/// Why a configuration was not written. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The file is not one that can be added to.
    #[error("'{}' cannot be added to: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
    /// The system refused.
    #[error("'{}' could not be written: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The place where the file is kept as it was; none where there was no file, or nothing to change.
    pub backup: Option<PathBuf>,
    /// Whether another server of the same name stood there.
    pub replaced: bool,
}

/// The longest configuration that is added to, in bytes.
const MAX_CONFIGURATION: u64 = 64 << 20;

/// The text of the client's file, if it is there; the inner error is why it is none.
fn read(path: &Path) -> io::Result<Option<Result<String, String>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A pipe would be waited for, and a device has no end.
        Ok(data) if !data.is_file() => {
            return Ok(Some(Err("it is not a regular file".to_owned())));
        }
        found => found?,
    };
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(MAX_CONFIGURATION + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_CONFIGURATION {
        return Ok(Some(Err("it is larger than 64 MiB".to_owned())));
    }
    Ok(Some(
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()),
    ))
}

impl Client {
    /// Where the client looks; `None` if there is no home to look in.
    #[must_use]
    pub fn config_path(self, home: Option<&Path>) -> Option<PathBuf> {
        let below = |path: &str| home.map(|home| home.join(path));
        match self {
            Self::ClaudeDesktop if cfg!(target_os = "macos") => {
                below("Library/Application Support/Claude/claude_desktop_config.json")
            }
            Self::ClaudeDesktop => below(".config/Claude/claude_desktop_config.json"),
            Self::ClaudeCode => below(".claude.json"),
            Self::Cursor => below(".cursor/mcp.json"),
            Self::VsCode => Some(PathBuf::from(".vscode/mcp.json")),
            Self::Codex => below(".codex/config.toml"),
        }
    }

    /// The member of the file that holds servers.
    fn table(self) -> &'static str {
        match self {
            Self::VsCode => "servers",
            Self::Codex => "mcp_servers",
            _ => "mcpServers",
        }
    }

    fn value(self, entry: &Entry) -> Value {
        let mut value = Map::new();
        if matches!(self, Self::ClaudeCode | Self::VsCode) {
            value.insert("type".to_owned(), json!("stdio"));
        }
        value.insert("command".to_owned(), json!(entry.command));
        value.insert("args".to_owned(), json!(entry.arguments));
        if !entry.environment.is_empty() {
            let variables = entry.environment.iter().cloned();
            let variables: Map<_, _> = variables
                .map(|(name, value)| (name, value.into()))
                .collect();
            value.insert("env".to_owned(), Value::Object(variables));
        }
        Value::Object(value)
    }

    /// The configuration by itself.
    #[must_use]
    pub fn snippet(self, entry: &Entry) -> String {
        if self == Self::Codex {
            return toml(entry);
        }
        let servers = Map::from_iter([(entry.name.clone(), self.value(entry))]);
        indented(&json!({ self.table(): servers }))
    }

    /// Adds the server to the client's file, which is replaced in one step.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn write(self, entry: &Entry, path: &Path) -> Result<Installed, InstallError> {
        // A link is followed: the file behind it is the one that the user keeps.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |source| InstallError::Io {
            path: path.clone(),
            source,
        };
        let content = |reason| InstallError::Content {
            path: path.clone(),
            reason,
        };
        let before = read(path).map_err(failed)?;
        let before = before.transpose().map_err(content)?;
        let text = before.as_deref().unwrap_or_default();
        let (after, replaced) = match self {
            Self::Codex => with_toml(entry, text),
            _ => self.with_json(entry, text),
        }
        .map_err(content)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let backup = match &before {
            Some(text) if *text == after => {
                return Ok(Installed {
                    backup: None,
                    replaced: false,
                });
            }
            Some(text) => Some(keep(path, text).map_err(failed)?),
            None => None,
        };
        replace(path, &after).map_err(failed)?;
        Ok(Installed { backup, replaced })
    }

    /// The file with the server, and whether another one of that name stood there.
    fn with_json(self, entry: &Entry, text: &str) -> Result<(String, bool), String> {
        let mut file: Value = match text.trim() {
            "" => json!({}),
            text => {
                serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?
            }
        };
        let object = file.as_object_mut().ok_or("it is not a JSON object")?;
        let servers = object.entry(self.table()).or_insert_with(|| json!({}));
        let servers = servers
            .as_object_mut()
            .ok_or_else(|| format!("'{}' in it is not an object", self.table()))?;
        let value = self.value(entry);
        let old = servers.insert(entry.name.clone(), value.clone());
        Ok((indented(&file), old.is_some_and(|old| old != value)))
    }
}

fn indented(value: &Value) -> String {
    format!("{value:#}\n")
}

/// A basic string of TOML, whose escapes are those of JSON.
fn toml_string(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn toml(entry: &Entry) -> String {
    let arguments: Vec<_> = entry
        .arguments
        .iter()
        .map(|text| toml_string(text))
        .collect();
    let mut table = format!(
        "[mcp_servers.{}]\ncommand = {}\nargs = [{}]\n",
        toml_string(&entry.name),
        toml_string(&entry.command),
        arguments.join(", ")
    );
    if !entry.environment.is_empty() {
        let variables: Vec<_> = entry
            .environment
            .iter()
            .map(|(name, value)| format!("{} = {}", toml_string(name), toml_string(value)))
            .collect();
        table.push_str(&format!("env = {{ {} }}\n", variables.join(", ")));
    }
    table
}

/// The parts of a dotted key of TOML, such as `a."b.c"`, and what stands behind it.
fn dotted(text: &str) -> Option<(Vec<String>, &str)> {
    let (mut parts, mut rest) = (Vec::new(), text.trim_start());
    loop {
        let (part, after) = match rest.chars().next()? {
            '"' => {
                // Its escapes are those of JSON, as far as a key has any.
                let mut strings = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let part = strings.next()?.ok()?;
                (part, &rest[strings.byte_offset()..])
            }
            '\'' => {
                let (part, after) = rest[1..].split_once('\'')?;
                (part.to_owned(), after)
            }
            _ => {
                let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                let end = rest.find(|c| !is_bare(c)).unwrap_or(rest.len());
                let (part, after) = rest.split_at(end);
                (
                    Some(part).filter(|part| !part.is_empty())?.to_owned(),
                    after,
                )
            }
        };
        parts.push(part);
        rest = after.trim_start();
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None => return Some((parts, rest)),
        }
    }
}

/// The table that a line of TOML begins, if it begins one.
fn table(line: &str) -> Option<Vec<String>> {
    let (parts, rest) = dotted(line.trim_start().strip_prefix('[')?)?;
    let rest = rest.strip_prefix(']')?.trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(parts)
}

/// Replaces our own table, or adds it at the end. What others wrote is not touched. Gives the text, and
/// whether another table stood there.
fn with_toml(entry: &Entry, text: &str) -> Result<(String, bool), String> {
    let wanted = ["mcp_servers", &entry.name];
    let (mut kept, mut old) = (String::new(), String::new());
    let mut current = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("[[") {
            // A table of a list, which is none of ours.
            current.clear();
            current.push(line.to_owned());
        } else if let Some(table) = table(line) {
            let [servers, name] = wanted;
            // Beside a member of that name it would make the file one that the client cannot read.
            if !entry.environment.is_empty()
                && table.starts_with(&[servers, name, "env"].map(ToOwned::to_owned))
            {
                return Err(format!(
                    "'{}' in it is a table of its own, and the server needs variables",
                    table.join(".")
                ));
            }
            current = table;
        } else if current.len() < 2
            && let Some((key, rest)) = dotted(line)
            && rest.starts_with('=')
        {
            let path = [&current[..], &key].concat();
            if path == wanted[..1] || path.starts_with(&wanted.map(ToOwned::to_owned)) {
                return Err(format!(
                    "'{}' in it is not a table of its own, and not understood here",
                    path.join(".")
                ));
            }
        }
        let place = if current == wanted {
            &mut old
        } else {
            &mut kept
        };
        place.push_str(line);
        place.push('\n');
    }
    if kept.contains("\"\"\"") || kept.contains("'''") {
        return Err("it has strings of several lines, which are not understood here".to_owned());
    }
    let gap = if kept.trim().is_empty() { "" } else { "\n" };
    let new = toml(entry);
    let replaced = !old.is_empty() && old.trim_end() != new.trim_end();
    let text = format!("{}{gap}{new}", kept.trim_end().to_owned() + gap);
    Ok((text, replaced))
}

/// Keeps the old text under a new name beside the file, readable by the same users.
fn keep(path: &Path, text: &str) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(match number {
            0 => ".backup".to_owned(),
            number => format!(".backup-{number}"),
        });
        let backup = PathBuf::from(name);
        match fs::File::create_new(&backup) {
            Ok(mut file) => {
                file.set_permissions(fs::metadata(path)?.permissions())?;
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                return Ok(backup);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Replaces a file in one step; its mode stays, a new one is the user's alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        if let Ok(data) = fs::metadata(path) {
            file.set_permissions(fs::Permissions::from_mode(
                data.permissions().mode() & 0o7777,
            ))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "provara".to_owned(),
            command: "/opt/a b/provara".to_owned(),
            arguments: vec!["mcp".to_owned(), "--vault".to_owned(), "v=/x\"y".to_owned()],
            environment: Vec::new(),
        }
    }

    #[test]
    fn variables_stand_where_the_client_looks_for_them() {
        let mut entry = entry();
        entry.environment = vec![
            (
                "PROVARA_PYTHON".to_owned(),
                "/opt/a \"b\"/python3".to_owned(),
            ),
            ("PROVARA_PLUGINS".to_owned(), "a.b:C,d".to_owned()),
        ];
        let json: Value = serde_json::from_str(&Client::VsCode.snippet(&entry)).unwrap();
        let expected =
            json!({"PROVARA_PYTHON": "/opt/a \"b\"/python3", "PROVARA_PLUGINS": "a.b:C,d"});
        assert_eq!(json["servers"]["provara"]["env"], expected);
        let toml = Client::Codex.snippet(&entry);
        let line =
            r#"env = { "PROVARA_PYTHON" = "/opt/a \"b\"/python3", "PROVARA_PLUGINS" = "a.b:C,d" }"#;
        assert!(toml.ends_with(&format!("]\n{line}\n")), "{toml}");
        assert_eq!(with_toml(&entry, &toml).unwrap(), (toml, false));
        // A table of that name stands beside a server without variables only.
        let table = "[mcp_servers.provara.env]\nA = \"1\"\n";
        assert!(with_toml(&entry, table).is_err());
        entry.environment.clear();
        assert!(with_toml(&entry, table).is_ok());
    }

    #[test]
    fn a_file_keeps_what_others_wrote() {
        let dir = tempfile::tempdir().unwrap();
        for client in [
            Client::ClaudeDesktop,
            Client::ClaudeCode,
            Client::Cursor,
            Client::VsCode,
        ] {
            let path = dir.path().join(format!("{client:?}/config.json"));
            let written = |entry: &Entry| client.write(entry, &path).unwrap();
            let unchanged = Installed {
                backup: None,
                replaced: false,
            };
            assert_eq!(written(&entry()), unchanged);
            let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            file["theme"] = json!("dark");
            file[client.table()]["other"] = json!({"command": "x"});
            let text = file.to_string();
            fs::write(&path, &text).unwrap();
            let mut changed = entry();
            changed.arguments.push("--read-only".to_owned());
            let Installed { backup, replaced } = written(&changed);
            assert!(replaced);
            assert_eq!(fs::read_to_string(backup.unwrap()).unwrap(), text);
            let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(file["theme"], "dark");
            assert_eq!(file[client.table()]["other"]["command"], "x");
            assert_eq!(file[client.table()]["provara"]["args"][3], "--read-only");
            // The same once more changes nothing.
            assert_eq!(written(&changed), unchanged);
            changed.name = "second".to_owned();
            assert!(!written(&changed).replaced);
        }
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        for text in ["[]", "{", "{\"mcpServers\": 1}", "// a comment\n{}"] {
            fs::write(&path, text).unwrap();
            assert!(Client::Cursor.write(&entry(), &path).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::remove_file(&path).unwrap();
        // Neither is waited for, nor read without end.
        let status = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(status.unwrap().success());
        for path in [path.as_path(), Path::new("/dev/zero"), dir.path()] {
            let error = Client::Cursor.write(&entry(), path).unwrap_err();
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }

    #[test]
    fn toml_tables_are_replaced_or_added() {
        let before =
            "model = \"x\"\n\n[mcp_servers.provara]\ncommand = \"old\"\n\n[other]\na = 1\n";
        let (after, replaced) = with_toml(&entry(), before).unwrap();
        assert!(replaced);
        assert_eq!(
            after,
            "model = \"x\"\n\n[other]\na = 1\n\n[mcp_servers.\"provara\"]\n\
             command = \"/opt/a b/provara\"\nargs = [\"mcp\", \"--vault\", \"v=/x\\\"y\"]\n"
        );
        assert_eq!(with_toml(&entry(), &after).unwrap(), (after, false));
        let alone = (toml(&entry()), false);
        assert_eq!(with_toml(&entry(), "").unwrap(), alone);
    }

    #[test]
    fn a_toml_table_is_known_however_it_is_written_and_no_other_is_taken_for_it() {
        for header in [
            "[mcp_servers.provara]",
            " [ mcp_servers . 'provara' ] # mine",
            "[\"mcp_servers\".\"provara\"]",
        ] {
            let before = format!("{header}\ncommand = \"old\"\n");
            let replaced = (toml(&entry()), true);
            assert_eq!(with_toml(&entry(), &before).unwrap(), replaced, "{header}");
        }
        let mut dotted = entry();
        dotted.name = "other.env".to_owned();
        for kept in [
            "[mcp_servers.other.env]\nA = \"1\"",
            "[mcp_servers.\"other.env\".env]\nA = \"1\"",
            "[[mcp_servers]]\nprovara = 1",
            "[x]\nmcp_servers = [\n  \"--vault=x\",\n  [\"a\"],\n]",
        ] {
            let (after, replaced) = with_toml(&dotted, kept).unwrap();
            assert!(!replaced && after.starts_with(kept), "{after}");
        }
        // To add a table beside these would make the file one that the client cannot read.
        for other in [
            "mcp_servers = {}",
            "mcp_servers.provara.command = \"x\"",
            "[mcp_servers]\n'provara' = {}",
        ] {
            assert!(with_toml(&entry(), other).is_err(), "{other}");
        }
        assert!(with_toml(&entry(), "[mcp_servers]\nother = {}").is_ok());
    }
}
