//! SHA-256 (FIPS 180-4, section 6.2) of a message in each of sixteen words of 32 bits.
//!
//! Compiled twice, as `engine` is. What is done does not depend on what the messages say, only on how long they are.

use super::words::{
    WordMask, Words, add, add_where, choose, even_fours, high_pairs, load_bytes, low_pairs,
    majority, mask, odd_fours, rotate_right, shift_right, splat, store, swap_bytes, unpack_high,
    unpack_low, xor3,
};
use crate::engine::HASHES;
use crate::padding::{BLOCK, Padded};

#[rustfmt::skip]
const INITIAL: [u32; 8] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
];

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[rustfmt::skip]
const ROUNDS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

lanes! {
    /// The hashes of the messages, of which there are at most as many as words. They may differ in length.
    pub(super) fn hash_lanes(messages: &[Padded<'_>]) -> [[u8; 32]; HASHES] {
        let mut state = [splat(0); 8];
        for (word, initial) in state.iter_mut().zip(INITIAL) {
            *word = splat(initial);
        }
        let most = messages.iter().map(Padded::blocks).max();
        for index in 0..most.unwrap_or_default() {
            let mut blocks = [&[0; BLOCK]; HASHES];
            let mut live = 0;
            for (lane, (to, message)) in blocks.iter_mut().zip(messages).enumerate() {
                if let Some(block) = message.block(index) {
                    *to = block;
                    live |= 1 << lane;
                }
            }
            compress(&mut state, &blocks, mask(live));
        }
        let mut hashes = [[0; 32]; HASHES];
        for (index, word) in state.iter().enumerate() {
            for (hash, word) in hashes.iter_mut().zip(store(*word)) {
                hash[4 * index..4 * index + 4].copy_from_slice(&word.to_be_bytes());
            }
        }
        hashes
    }

    /// Takes one block into the state of every message that is in `live`.
    fn compress(state: &mut [Words; 8], blocks: &[&[u8; BLOCK]; HASHES], live: WordMask) {
        let mut rows = [splat(0); HASHES];
        for (row, block) in rows.iter_mut().zip(blocks) {
            *row = swap_bytes(load_bytes(block));
        }
        let mut words = transpose(&rows);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for turn in 0..4 {
            for i in 0..16 {
                if turn > 0 {
                    let (w15, w2) = (words[(i + 1) % 16], words[(i + 14) % 16]);
                    let s0 = xor3(rotate_right::<7>(w15), rotate_right::<18>(w15), shift_right::<3>(w15));
                    let s1 = xor3(rotate_right::<17>(w2), rotate_right::<19>(w2), shift_right::<10>(w2));
                    words[i] = add(add(words[i], s0), add(words[(i + 9) % 16], s1));
                }
                let s1 = xor3(rotate_right::<6>(e), rotate_right::<11>(e), rotate_right::<25>(e));
                let round = add(words[i], splat(ROUNDS[16 * turn + i]));
                let t1 = add(add(add(h, round), choose(e, f, g)), s1);
                let s0 = xor3(rotate_right::<2>(a), rotate_right::<13>(a), rotate_right::<22>(a));
                let t2 = add(s0, majority(a, b, c));
                (h, g, f, e) = (g, f, e, add(d, t1));
                (d, c, b, a) = (c, b, a, add(t1, t2));
            }
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = add_where(live, *word, new);
        }
    }

    /// Word i of row j becomes word j of row i.
    fn transpose(rows: &[Words; 16]) -> [Words; 16] {
        // For every four rows: in `fours[4 * k + i]`, four q has word 4q + i of rows 4k to 4k + 3.
        let mut fours = *rows;
        for (to, rows) in fours.chunks_exact_mut(4).zip(rows.chunks_exact(4)) {
            let (a, b) = (unpack_low(rows[0], rows[1]), unpack_low(rows[2], rows[3]));
            let (c, d) = (unpack_high(rows[0], rows[1]), unpack_high(rows[2], rows[3]));
            to.copy_from_slice(&[low_pairs(a, b), high_pairs(a, b), low_pairs(c, d), high_pairs(c, d)]);
        }
        let mut columns = fours;
        for i in 0..4 {
            let (a, b, c, d) = (fours[i], fours[4 + i], fours[8 + i], fours[12 + i]);
            let (even, odd) = (even_fours(a, b), odd_fours(a, b));
            let (more_even, more_odd) = (even_fours(c, d), odd_fours(c, d));
            columns[i] = even_fours(even, more_even);
            columns[4 + i] = even_fours(odd, more_odd);
            columns[8 + i] = odd_fours(even, more_even);
            columns[12 + i] = odd_fours(odd, more_odd);
        }
        columns
    }
}

#[cfg(test)]
lanes! {
    /// Called by tests where the words can be computed with.
    pub(super) fn short_hashes_are_those_of_the_library() {
        use sha2::Digest as _;

        let bytes: Vec<u8> = (0..900u32).map(|i| (i * 11 + 3) as u8).collect();
        for length in 0..400 {
            // Every length around the end of a block, beside others whose numbers of blocks differ; fewer than all words.
            let length_of = |lane: usize| (length + lane * 37) % 600;
            let message = |lane: usize| &bytes[lane..lane + length_of(lane)];
            let count = HASHES - length % 3 * 5;
            let messages: Vec<_> = (0..count).map(|lane| Padded::new(message(lane))).collect();
            let hashes = hash_lanes(&messages);
            for (lane, hash) in hashes[..count].iter().enumerate() {
                assert_eq!(hash[..], sha2::Sha256::digest(message(lane))[..], "{} bytes", length_of(lane));
            }
        }
    }
}
