//! Where a head ends, looking at every byte once however it was cut.

use super::RequestError;

/// Two empty lines before a request line (RFC 9112 §2.2 asks to ignore at least one: old clients
/// send one after a body).
const LEADING_BLANK_BYTES: usize = 4;

/// Finds the empty line that ends a head: the index in `fresh` just behind it, `None` if it is not
/// in yet. `kept` is what came of the head before and was looked through by an earlier call, so a
/// head of n bytes costs n however slowly it comes.
///
/// Up to two empty lines may stand before the request line.
///
/// # Errors
///
/// `BareLineFeed` as soon as a line ends in LF alone: RFC 9112 §2.2 lets a recipient take it for a
/// line end, and a proxy in front that does not would see other lines than we do.
pub(super) fn head_end(kept: &[u8], fresh: &[u8]) -> Result<Option<usize>, RequestError> {
    let byte_at = |index: usize| match index.checked_sub(kept.len()) {
        None => kept[index],
        Some(index) => fresh[index],
    };
    for found in memchr::memchr_iter(b'\n', fresh) {
        let line_feed = kept.len() + found;
        if line_feed == 0 || byte_at(line_feed - 1) != b'\r' {
            return Err(RequestError::BareLineFeed);
        }
        let empty_line = line_feed == 1 || byte_at(line_feed - 2) == b'\n';
        if empty_line && line_feed >= LEADING_BLANK_BYTES {
            return Ok(Some(found + 1));
        }
    }
    Ok(None)
}

/// What is wrong with a head that passed its bound before it ended: the target, if not even the
/// request line ended.
pub(super) fn too_large(kept: &[u8], fresh: &[u8]) -> RequestError {
    let mut bytes = kept.iter().chain(fresh).skip_while(|byte| matches!(byte, b'\r' | b'\n'));
    if bytes.any(|byte| *byte == b'\n') {
        RequestError::HeadTooLarge
    } else {
        RequestError::TargetTooLong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_line_ends_a_head_wherever_it_is_cut() {
        for (head, end) in [
            ("GET / HTTP/1.1\r\n\r\nrest", 18),
            ("\r\nGET / HTTP/1.1\r\n\r\nrest", 20),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22),
            ("\r\n\r\n\r\nGET", 6),
            ("X\r\n\r\n", 5),
        ] {
            for cut in 0..end {
                let (kept, fresh) = head.as_bytes().split_at(cut);
                assert_eq!(head_end(b"", kept), Ok(None), "{head:?} cut at {cut}");
                assert_eq!(head_end(kept, fresh), Ok(Some(end - cut)), "{head:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_line_that_ends_in_lf_alone_is_refused_at_once() {
        for head in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "\r\n\n"] {
            assert_eq!(head_end(b"", head.as_bytes()), Err(RequestError::BareLineFeed));
            let (kept, fresh) = head.as_bytes().split_at(head.len() - 1);
            assert_eq!(head_end(kept, fresh), Err(RequestError::BareLineFeed));
        }
    }

    #[test]
    fn a_head_that_is_too_large_blames_its_first_unfinished_part() {
        assert_eq!(too_large(b"\r\nGET /aaa", b"aaaa"), RequestError::TargetTooLong);
        assert_eq!(too_large(b"\r\nGET / HTTP/1.1\r", b"\nA: b"), RequestError::HeadTooLarge);
    }
}
