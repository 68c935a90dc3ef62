//! Landlock, capabilities and seccomp, in the order in which they can be enforced.

use std::os::fd::AsFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd,
    RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus,
    Scope, make_bitflags,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};

use super::{Confinement, ExecKey, Level, Rules, filter};
use crate::raw::Raw;

/// The newest Landlock that this crate knows rights of. The kernel's own may be older: then what
/// it lacks is left out, and named where it matters.
const NEWEST: ABI = ABI::V9;

/// The special files that Python needs, and that are no way out.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// What a process may read of itself. These are the files of this process, which becomes the host: other
/// processes' are others, and these have no more in them than the name of the own control group.
const OF_ITSELF: [&str; 1] = ["/proc/self/cgroup"];

pub(super) fn enforce(rules: &Rules) -> Result<(Confinement, ExecKey), String> {
    let mut missing = Vec::new();
    set_no_new_privs(true).map_err(|error| format!("no_new_privs: {error}"))?;
    drop_capabilities().map_err(|error| format!("capabilities: {error}"))?;
    let status = landlock(rules).map_err(|error| format!("Landlock: {error}"))?;
    let files = what_landlock_lacks(&status, &mut missing);
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|error| format!("random numbers: {error}"))?;
    let word = |index: usize| {
        random[index * 8..]
            .first_chunk()
            .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    let key = ExecKey([word(0), word(1), word(2)]);
    let calls = match filter::install(rules.calls, rules.network, &key) {
        Ok(()) => true,
        Err(error) => {
            missing.push(format!("seccomp cannot be used ({error})"));
            false
        }
    };
    let level = match (files, calls, missing.is_empty()) {
        (true, true, true) => Level::Full,
        (false, false, _) => Level::Process,
        _ => Level::Partial,
    };
    Ok((Confinement { level, missing }, key))
}

/// Names what the kernel's Landlock does not give; says whether it gives anything.
fn what_landlock_lacks(status: &RestrictionStatus, missing: &mut Vec<String>) -> bool {
    let abi = match status.landlock {
        LandlockStatus::NotEnabled => {
            missing.push("Landlock is not enabled in this kernel".to_owned());
            return false;
        }
        LandlockStatus::NotImplemented => {
            missing.push("this kernel has no Landlock".to_owned());
            return false;
        }
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        missing.push("Landlock did not take effect".to_owned());
        return false;
    }
    if abi < ABI::V3 {
        missing.push("this kernel's Landlock does not guard against truncation".to_owned());
    }
    if abi < ABI::V4 {
        missing.push("this kernel's Landlock has no network rules".to_owned());
    }
    true
}

fn landlock(rules: &Rules) -> Result<RestrictionStatus, String> {
    let all = AccessFs::from_all(NEWEST);
    let mut ruleset = Ruleset::default().handle_access(all).map_err(in_words)?;
    if !rules.network {
        ruleset = ruleset
            .handle_access(AccessNet::from_all(NEWEST))
            .map_err(in_words)?;
    }
    let ruleset = ruleset.scope(Scope::from_all(NEWEST)).map_err(in_words)?;
    let mut ruleset = ruleset.create().map_err(in_words)?;

    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | RemoveDir | RemoveFile | MakeDir | MakeReg | Refer
    });
    let paths = |list: &[Raw], access: BitFlags<AccessFs>| -> Vec<_> {
        list.iter()
            .map(|path| (path.as_path().to_path_buf(), access))
            .collect()
    };
    let mut granted = paths(&rules.read, read);
    granted.extend(paths(&rules.list, AccessFs::ReadDir.into()));
    granted.extend(paths(&rules.write, write));
    granted.extend(paths(
        &rules.execute,
        AccessFs::ReadFile | AccessFs::Execute,
    ));
    granted.extend(DEVICES.map(|path| (path.into(), AccessFs::ReadFile.into())));
    granted.extend(OF_ITSELF.map(|path| (path.into(), AccessFs::ReadFile.into())));
    granted.push(("/dev/null".into(), AccessFs::WriteFile.into()));
    for (path, access) in granted {
        ruleset = grant(ruleset, &path, access)?;
    }
    ruleset.restrict_self().map_err(in_words)
}

/// Adds one rule. A path that is not there needs none.
fn grant(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let Ok(opened) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let is_dir = rustix::fs::fstat(opened.as_fd())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir());
    // The kernel refuses the rights of directories on a file.
    let access = if is_dir {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    if access.is_empty() {
        return Ok(ruleset);
    }
    ruleset
        .add_rule(PathBeneath::new(opened, access))
        .map_err(in_words)
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Gives up every capability for good. Only root (or a process in a user namespace) has any; what
/// it then still may do follows from owning files, which Landlock bounds.
fn drop_capabilities() -> rustix::io::Result<()> {
    // These three need a capability themselves. Without it there is nothing to lose by execve
    // either: `no_new_privs` is set.
    let _ = set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    );
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if remove_capability_from_bounding_set(one).is_err() {
            break;
        }
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )
}
