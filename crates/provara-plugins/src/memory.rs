//! How much memory the machine has.

/// The machine's memory in bytes.
#[cfg(target_os = "linux")]
pub(crate) fn physical() -> u64 {
    let info = rustix::system::sysinfo();
    #[allow(clippy::useless_conversion)]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

/// The machine's memory in bytes: a small one, where nobody asked.
#[cfg(not(target_os = "linux"))]
pub(crate) fn physical() -> u64 {
    8 << 30
}
