//! Masking (RFC 6455 §5.3): byte `i` of a payload is XORed with byte `i % 4` of the masking key.
//!
//! XOR undoes itself, so that one function both masks and unmasks. It works in place and a word at a time; the
//! compiler turns the loop into vector instructions, which this module's tests hold against the byte loop.

/// Masks or unmasks `payload`, whose first byte is at a multiple of four in its frame (see [`rotated`] for the rest).
#[inline]
pub fn apply(payload: &mut [u8], masking_key: [u8; 4]) {
    let [a, b, c, d] = masking_key;
    let word_key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_key).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

/// The key for the rest of a payload of which `done` bytes were unmasked already.
#[inline]
#[must_use]
pub fn rotated(mut masking_key: [u8; 4], done: usize) -> [u8; 4] {
    masking_key.rotate_left(done % 4);
    masking_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn byte_by_byte(payload: &mut [u8], masking_key: [u8; 4]) {
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= masking_key[index % 4];
        }
    }

    #[test]
    fn the_masked_hello_of_section_5_7_is_unmasked() {
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn words_give_what_the_byte_loop_gives_at_any_alignment(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            skip in 0..9_usize,
            key: [u8; 4],
        ) {
            let skip = skip.min(bytes.len());
            let (mut ours, mut plain) = (bytes.clone(), bytes);
            apply(&mut ours[skip..], key);
            byte_by_byte(&mut plain[skip..], key);
            prop_assert_eq!(ours, plain);
        }

        #[test]
        fn a_payload_in_two_pieces_is_unmasked_as_in_one(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            cut in 0..100_usize,
            key: [u8; 4],
        ) {
            let cut = cut.min(bytes.len());
            let (mut pieces, mut whole) = (bytes.clone(), bytes);
            apply(&mut whole, key);
            let (first, second) = pieces.split_at_mut(cut);
            apply(first, key);
            apply(second, rotated(key, cut));
            prop_assert_eq!(pieces, whole);
        }
    }
}
