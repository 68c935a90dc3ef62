//! SHA-512 (FIPS 180-4, section 6.4) of a message in each lane.
//!
//! Compiled for each kind of vector, with its lanes.

use super::lanes::{
    LANES, Lanes, Mask, add, choose, load_bytes, majority, mask, rotate_right, select, shift_right,
    splat, store, swap_bytes, xor3,
};
use super::transpose::transpose;
use crate::engine::Task;
use crate::message::{BLOCK, Blocks};
use crate::scalar::reduce;

const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

/// The first 64 bits of the fractional parts of the cube roots of the first 80 primes.
#[rustfmt::skip]
const ROUNDS: [u64; 80] = [
    0x428a_2f98_d728_ae22, 0x7137_4491_23ef_65cd, 0xb5c0_fbcf_ec4d_3b2f, 0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538, 0x59f1_11f1_b605_d019, 0x923f_82a4_af19_4f9b, 0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242, 0x1283_5b01_4570_6fbe, 0x2431_85be_4ee4_b28c, 0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f, 0x80de_b1fe_3b16_96b1, 0x9bdc_06a7_25c7_1235, 0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2, 0xefbe_4786_384f_25e3, 0x0fc1_9dc6_8b8c_d5b5, 0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275, 0x4a74_84aa_6ea6_e483, 0x5cb0_a9dc_bd41_fbd4, 0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab, 0xa831_c66d_2db4_3210, 0xb003_27c8_98fb_213f, 0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2, 0xd5a7_9147_930a_a725, 0x06ca_6351_e003_826f, 0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc, 0x2e1b_2138_5c26_c926, 0x4d2c_6dfc_5ac4_2aed, 0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de, 0x766a_0abb_3c77_b2a8, 0x81c2_c92e_47ed_aee6, 0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364, 0xa81a_664b_bc42_3001, 0xc24b_8b70_d0f8_9791, 0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218, 0xd699_0624_5565_a910, 0xf40e_3585_5771_202a, 0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8, 0x1e37_6c08_5141_ab53, 0x2748_774c_df8e_eb99, 0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63, 0x4ed8_aa4a_e341_8acb, 0x5b9c_ca4f_7763_e373, 0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc, 0x78a5_636f_4317_2f60, 0x84c8_7814_a1f0_ab72, 0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28, 0xa450_6ceb_de82_bde9, 0xbef9_a3f7_b2c6_7915, 0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c, 0xd186_b8c7_21c0_c207, 0xeada_7dd6_cde0_eb1e, 0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba, 0x0a63_7dc5_a2c8_98a6, 0x113f_9804_bef9_0dae, 0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84, 0x32ca_ab7b_40c7_2493, 0x3c9e_be0a_15c9_bebc, 0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6, 0x597f_299c_fc65_7e2a, 0x5fcb_6fab_3ad6_faec, 0x6c44_198c_4a47_5817,
];

lanes! {
    /// k of every signature.
    pub(super) fn challenges(tasks: &[Task<'_>]) -> Vec<[u8; 32]> {
        let mut challenges = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(LANES) {
            let mut messages = [const { None }; LANES];
            for (to, task) in messages.iter_mut().zip(tasks) {
                *to = Some(Blocks::new(task.r(), task.public, task.message));
            }
            let hashes = hash_lanes(messages);
            challenges.extend(hashes[..tasks.len()].iter().map(reduce));
        }
        challenges
    }

    /// The hashes of the messages. They may differ in length, and one that is not there has any hash.
    pub(super) fn hash_lanes(mut messages: [Option<Blocks<'_>>; LANES]) -> [[u8; 64]; LANES] {
        let mut state = [splat(0); 8];
        for (word, initial) in state.iter_mut().zip(INITIAL) {
            *word = splat(initial);
        }
        loop {
            let mut rooms = [[0; BLOCK]; LANES];
            let mut blocks = [&[0; BLOCK]; LANES];
            let mut live = 0;
            for (lane, (message, room)) in messages.iter_mut().zip(&mut rooms).enumerate() {
                if let Some(message) = message
                    && let Some(block) = message.next(room)
                {
                    blocks[lane] = block;
                    live |= 1 << lane;
                }
            }
            if live == 0 {
                break;
            }
            compress(&mut state, &blocks, mask(live));
        }
        let mut hashes = [[0; 64]; LANES];
        for (index, word) in state.iter().enumerate() {
            for (hash, word) in hashes.iter_mut().zip(store(*word)) {
                hash[8 * index..8 * index + 8].copy_from_slice(&word.to_be_bytes());
            }
        }
        hashes
    }

    /// Takes one block into the state of every lane that is in `live`.
    fn compress(state: &mut [Lanes; 8], blocks: &[&[u8; BLOCK]; LANES], live: Mask) {
        let mut words = [splat(0); 16];
        for (part, words) in words.chunks_exact_mut(LANES).enumerate() {
            let mut rows = [splat(0); LANES];
            for (row, block) in rows.iter_mut().zip(blocks) {
                let bytes = block[8 * LANES * part..].first_chunk();
                *row = load_bytes(bytes.expect("a word for every lane"));
            }
            for (word, column) in words.iter_mut().zip(transpose(&rows)) {
                *word = swap_bytes(column);
            }
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for turn in 0..5 {
            for i in 0..16 {
                if turn > 0 {
                    let (w15, w2) = (words[(i + 1) % 16], words[(i + 14) % 16]);
                    let s0 = xor3(rotate_right::<1>(w15), rotate_right::<8>(w15), shift_right::<7>(w15));
                    let s1 = xor3(rotate_right::<19>(w2), rotate_right::<61>(w2), shift_right::<6>(w2));
                    words[i] = add(add(words[i], s0), add(words[(i + 9) % 16], s1));
                }
                let s1 = xor3(rotate_right::<14>(e), rotate_right::<18>(e), rotate_right::<41>(e));
                let round = add(words[i], splat(ROUNDS[16 * turn + i]));
                let t1 = add(add(add(h, s1), choose(e, f, g)), round);
                let s0 = xor3(rotate_right::<28>(a), rotate_right::<34>(a), rotate_right::<39>(a));
                let t2 = add(s0, majority(a, b, c));
                (h, g, f, e) = (g, f, e, add(d, t1));
                (d, c, b, a) = (c, b, a, add(t1, t2));
            }
        }
        for (word, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *word = select(live, *word, add(*word, new));
        }
    }
}

#[cfg(test)]
lanes! {
    /// Called by tests where the lanes can be computed with.
    pub(super) fn hashes_are_those_of_the_library() {
        use sha2::Digest as _;

        let bytes: Vec<u8> = (0..900u32).map(|i| (i * 11 + 3) as u8).collect();
        let public = [0x77; 32];
        for length in 0..760 {
            // As many lengths at a time as there are lanes, whose numbers of blocks differ, and lanes without a message.
            let length_of = |lane: usize| (length + lane * 37) % 800;
            let message = |lane: usize| &bytes[lane..lane + length_of(lane)];
            let mut messages = [const { None }; LANES];
            for (lane, to) in messages.iter_mut().enumerate() {
                if (length + lane) % 7 != 0 {
                    let (first, second) = message(lane).split_at(length_of(lane) / 3);
                    *to = Some(Blocks::new(&bytes[..32], &public, crate::message::Message::joined(first, second)));
                }
            }
            let hashes = hash_lanes(messages);
            for (lane, hash) in hashes.iter().enumerate() {
                if (length + lane) % 7 != 0 {
                    let expected = sha2::Sha512::new_with_prefix(&bytes[..32])
                        .chain_update(public)
                        .chain_update(message(lane));
                    assert_eq!(hash[..], expected.finalize()[..]);
                }
            }
        }
    }
}
