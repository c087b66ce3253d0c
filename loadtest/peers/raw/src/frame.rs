//! The canned frame.

/// A whole text frame of a server (RFC 6455 §5.2), header and payload, that is `bytes` long. The payload is `x` all through.
///
/// # Errors
///
/// No frame has that length: 0, 1, 128, 129 or one of the six between the forms of 16 and of 64 bits.
pub(crate) fn text(bytes: usize) -> Result<Vec<u8>, String> {
    let mut frame = vec![0x81];
    match bytes {
        2..=127 => frame.push((bytes - 2) as u8),
        130..=65_539 => {
            frame.push(126);
            frame.extend(((bytes - 4) as u16).to_be_bytes());
        }
        65_546.. => {
            frame.push(127);
            frame.extend(((bytes - 10) as u64).to_be_bytes());
        }
        _ => return Err(format!("OUT_BYTES: no frame is {bytes} bytes long")),
    }
    frame.resize(bytes, b'x');
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_was_asked_and_its_header_agrees() {
        for (bytes, header) in [
            (2, &[0x81, 0][..]),
            (102, &[0x81, 100]),
            (127, &[0x81, 125]),
            (130, &[0x81, 126, 0, 126]),
            (65_539, &[0x81, 126, 0xff, 0xff]),
            (65_546, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = text(bytes).expect("there is such a frame");
            assert_eq!(frame.len(), bytes);
            assert!(frame.starts_with(header) && frame[header.len()..].iter().all(|b| *b == b'x'));
        }
        for bytes in [0, 1, 128, 129, 65_540, 65_545] {
            assert!(text(bytes).is_err(), "{bytes}");
        }
    }
}
