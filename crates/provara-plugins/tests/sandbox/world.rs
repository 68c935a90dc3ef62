//! A host in its sandbox, and what an attack in it could want.

#![allow(unreachable_pub)]

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use provara_core::json;
use provara_plugins::catalog::PluginName;
use provara_plugins::host::{
    Exporting, Host, HostError, HostOptions, Purpose, Reducing, Validating, Verdict,
};
use provara_plugins::sandbox::{Level, SandboxMode};

use crate::common::{TempDir, options};

/// A vault with a key, beside other things that are nobody's business.
pub struct World {
    pub dir: TempDir,
    pub tcp: TcpListener,
    _abstract: UnixListener,
    _path: UnixListener,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Validate,
    Reduce,
    Export,
}

pub const KINDS: [Kind; 3] = [Kind::Validate, Kind::Reduce, Kind::Export];

impl World {
    pub fn new() -> World {
        let dir = TempDir::new();
        let root = dir.path();
        for path in [
            "vault/identity",
            "vault/events",
            "state",
            "home/.ssh",
            "staging",
        ] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("vault/identity/private_keys.json"), "SECRET").unwrap();
        fs::write(root.join("vault/identity/keys.json"), "PUBLIC").unwrap();
        fs::write(root.join("vault/events/events.ndjson"), "EVENTS").unwrap();
        fs::write(root.join("home/.ssh/id"), "SECRET").unwrap();
        // As unlike others as the directory is.
        let name = root.file_name().unwrap().to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        World {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            _abstract: UnixListener::bind_addr(&address).unwrap(),
            _path: UnixListener::bind(root.join("socket")).unwrap(),
            dir,
            name,
        }
    }

    /// A world for a test of the whole sandbox, or none where the kernel lacks one (`full` takes
    /// Linux 6.7). The end-to-end tests insist on all of them where the kernel has them.
    pub fn confined() -> Option<World> {
        static REACHED: OnceLock<(Level, String)> = OnceLock::new();
        let (level, text) = REACHED.get_or_init(|| {
            let (level, text, ..) = achieved(SandboxMode::Auto).unwrap();
            (level, text)
        });
        if *level < Level::Full {
            eprintln!("skipped: this kernel's sandbox is {text} (2026-11-22)");
            return None;
        }
        Some(World::new())
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub fn options(&self, mode: &str) -> HostOptions {
        let (mut options, _) = options(mode);
        options.state_dir = Some(self.path("state"));
        options.protect = vec![self.path("vault")];
        options
    }

    /// Runs pieces of code in one host and gives what each got, or how it failed.
    pub fn run(
        &self,
        kind: Kind,
        sandbox: SandboxMode,
        codes: &[&str],
    ) -> Vec<Result<String, String>> {
        self.run_with(kind, sandbox, codes, |_| ())
    }

    pub fn run_with(
        &self,
        kind: Kind,
        sandbox: SandboxMode,
        codes: &[&str],
        change: impl FnOnce(&mut HostOptions),
    ) -> Vec<Result<String, String>> {
        let port = self.tcp.local_addr().unwrap().port();
        let fill = |code: &&str| {
            code.replace("{root}", self.dir.path().to_str().unwrap())
                .replace("{port}", &port.to_string())
                .replace("{abstract}", &self.name)
                .replace("{parent}", &std::process::id().to_string())
        };
        let codes: Vec<String> = codes.iter().map(fill).collect();
        let mut options = self.options(&serde_json::to_string(&codes).unwrap());
        options.sandbox = sandbox;
        change(&mut options);
        let name: PluginName = "x".parse().unwrap();
        let said = match kind {
            Kind::Validate => {
                let mut host = started(Validating, options);
                let data = json::parse(b"{}").unwrap();
                let verdict = host.validate(&"com.acme.x".parse().unwrap(), &data);
                host.finish().unwrap();
                match verdict.unwrap() {
                    Verdict::Refused(reason) => reason,
                    Verdict::Accepted => panic!(),
                }
            }
            Kind::Reduce => {
                let log = Arc::new(*b"EVENTS").into();
                let mut host = started(Reducing { log }, options);
                let said = host.reduce(&name).unwrap();
                host.finish().unwrap();
                String::from_utf8(said).unwrap()
            }
            Kind::Export => {
                let purpose = Exporting {
                    vault: self.path("vault"),
                    staging: self.path("staging"),
                };
                let mut host = started(purpose, options);
                let output = self.path("staging/out");
                host.export(&name, &output).unwrap();
                let said = fs::read_to_string(output).unwrap();
                host.finish().unwrap();
                said
            }
        };
        let said: Vec<serde_json::Value> = serde_json::from_str(first_line(&said)).unwrap();
        assert_eq!(said.len(), codes.len());
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        said.iter()
            .map(|one| match one.get("got") {
                Some(got) => Ok(text(got)),
                None => Err(format!("{}: {}", text(&one["failed"]), text(&one["text"]))),
            })
            .collect()
    }

    /// Each piece of code works without the sandbox and fails inside, for these kinds.
    #[track_caller]
    pub fn stops(&self, kinds: &[Kind], codes: &[&str]) {
        for kind in kinds {
            for (code, open) in codes.iter().zip(self.run(*kind, SandboxMode::Off, codes)) {
                assert!(open.is_ok(), "{kind:?} without a sandbox: {open:?}\n{code}");
            }
            // What the attack made must not stand in its own way.
            for entry in fs::read_dir(self.path("state")).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            for (code, inside) in codes
                .iter()
                .zip(self.run(*kind, SandboxMode::Require, codes))
            {
                assert!(inside.is_err(), "{kind:?} inside: {inside:?}\n{code}");
            }
        }
    }

    /// Each piece of code works inside.
    #[track_caller]
    pub fn lets(&self, kinds: &[Kind], codes: &[&str]) {
        for kind in kinds {
            for (code, inside) in codes
                .iter()
                .zip(self.run(*kind, SandboxMode::Require, codes))
            {
                assert!(inside.is_ok(), "{kind:?} inside: {inside:?}\n{code}");
            }
        }
    }
}

/// What a host said, without the line that tells of the sandbox where it smells of it.
pub fn first_line(said: &str) -> &str {
    said.lines().next().unwrap_or_default()
}

/// A host that is as confined as its options say.
fn started<P: Purpose>(purpose: P, options: HostOptions) -> Host<P> {
    let level = if options.sandbox == SandboxMode::Off {
        Level::Process
    } else {
        Level::Full
    };
    let host = Host::start(purpose, options).unwrap();
    assert_eq!(host.confinement().level, level, "{}", host.confinement());
    host
}

/// What a host achieves, and whether it can read the key and start a process.
pub fn achieved(sandbox: SandboxMode) -> Result<(Level, String, bool, bool), HostError> {
    let world = World::new();
    let codes = [
        "got = open('{root}/vault/identity/private_keys.json').read()",
        "import os\npid = os.fork()\nif not pid: os._exit(0)\ngot = os.waitpid(pid, 0)",
    ]
    .map(|code| code.replace("{root}", world.dir.path().to_str().unwrap()));
    let mut options = world.options(&serde_json::to_string(&codes).unwrap());
    options.sandbox = sandbox;
    let mut host = Host::start(Validating, options)?;
    let data = json::parse(b"{}").unwrap();
    let said = match host.validate(&"com.acme.x".parse().unwrap(), &data)? {
        Verdict::Refused(said) => said,
        Verdict::Accepted => panic!(),
    };
    let said: serde_json::Value = serde_json::from_str(first_line(&said)).unwrap();
    let confinement = host.confinement().clone();
    let worked = |index: usize| said[index].get("got").is_some();
    Ok((
        confinement.level,
        confinement.to_string(),
        worked(0),
        worked(1),
    ))
}
