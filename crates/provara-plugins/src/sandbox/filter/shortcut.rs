//! A shorter way through a filter for the calls that it allows whatever their arguments.
//!
//! A filter is compiled by the kernel when it is installed, and tried for the number of every system call there
//! is. One that holds each call against one number after the other makes that the largest part of
//! what a sandbox costs. These calls lie close together, so a few dozen ranges tell them.

use std::collections::BTreeSet;

use seccompiler::{BpfProgram, sock_filter};

/// Loads a word of what the kernel tells of a call.
const LOAD: u16 = 0x20;
/// Jumps where the number is greater.
const GREATER: u16 = 0x25;
/// Jumps where the number is not less.
const NOT_LESS: u16 = 0x35;
/// Ends the filter with a word that says what becomes of the call.
const RETURN: u16 = 0x06;

/// Where the number of the call stands, and its architecture.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// How many instructions check the architecture.
const CHECK: usize = 3;

/// Lets `calls` through before `program` decides, and after it has checked the architecture. Nothing if the
/// program does not begin with that check, or if they lie too far apart.
pub(super) fn before(calls: &BTreeSet<u32>, program: &[sock_filter]) -> Option<BpfProgram> {
    let (check, rest) = program.split_at_checked(CHECK)?;
    let checks = check[0].code == LOAD && check[0].k == ARCHITECTURE && check[2].code == RETURN;
    let ranges = ranges(calls);
    if !checks || ranges.is_empty() {
        return None;
    }
    let mut found = check.to_vec();
    found.push(instruction(LOAD, 0, 0, NUMBER));
    for (at, (first, last)) in ranges.iter().enumerate() {
        let left = ranges.len() - 1 - at;
        // Behind this range: at the next one, or behind the leave at the end.
        found.push(instruction(
            GREATER,
            if left == 0 { 2 } else { 1 },
            0,
            *last,
        ));
        // In it, or before it: at the leave, or behind it.
        let leave = u8::try_from(2 * left).ok()?;
        found.push(instruction(NOT_LESS, leave, leave.checked_add(1)?, *first));
    }
    found.push(instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    found.extend_from_slice(rest);
    Some(found)
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// The ranges of consecutive numbers, with their last one, in order.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut found: Vec<(u32, u32)> = Vec::new();
    for number in numbers.iter().copied() {
        match found.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            _ => found.push((number, number)),
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a filter says to a call: the kernel's rules, for the instructions that occur.
    pub(in super::super) fn run(program: &[sock_filter], data: &[u32; 16]) -> u32 {
        let (mut accumulator, mut at) = (0_u32, 0);
        loop {
            let step = &program[at];
            at += 1;
            let test = match step.code {
                LOAD => {
                    accumulator = data[step.k as usize / 4];
                    continue;
                }
                0x54 => {
                    accumulator &= step.k;
                    continue;
                }
                0x05 => {
                    at += step.k as usize;
                    continue;
                }
                RETURN => return step.k,
                0x15 => accumulator == step.k,
                GREATER => accumulator > step.k,
                NOT_LESS => accumulator >= step.k,
                code => panic!("an instruction {code:#x}"),
            };
            at += usize::from(if test { step.jt } else { step.jf });
        }
    }

    #[test]
    fn ranges_end_where_numbers_do() {
        let numbers = BTreeSet::from([0, 1, 2, 5, 7, 8]);
        assert_eq!(ranges(&numbers), [(0, 2), (5, 5), (7, 8)]);
    }

    #[test]
    fn a_program_without_the_check_is_left_alone() {
        let calls = BTreeSet::from([1]);
        let refuse = || instruction(RETURN, 0, 0, 7);
        let number = instruction(LOAD, 0, 0, NUMBER);
        assert!(before(&calls, &[refuse()]).is_none());
        assert!(before(&calls, &[number, refuse(), refuse(), refuse()]).is_none());
        let architecture = instruction(LOAD, 0, 0, ARCHITECTURE);
        let checked = [architecture, refuse(), refuse(), refuse()];
        assert!(before(&calls, &checked).is_some());
        assert!(before(&BTreeSet::new(), &checked).is_none());
        // The furthest jump of an instruction.
        let apart = (0..200).map(|number| 2 * number).collect();
        assert!(before(&apart, &checked).is_none());
    }
}
