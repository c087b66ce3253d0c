//! Close codes and the close payload (RFC 6455 §5.5.1, §7.4).

use super::ProtocolError;

/// A status code that may travel in a close frame.
///
/// Those are 1000 to 1003, 1007 to 1011 (RFC 6455 §7.4.1), 1012 to 1014 (registered with IANA since) and 3000 to
/// 4999 (§7.4.2). 1004, 1005, 1006 and 1015 never travel; the rest is unassigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection was fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server or the page goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Data of a kind that is not accepted here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A policy of this server forbids it; for want of a better code.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// Too much in one piece.
    pub const TOO_BIG: Self = Self(1009);
    /// Something unexpected happened in the server.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts; come back after a random delay.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// The code, if it may travel.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Reads the unmasked payload of a close frame: the code, `None` if the peer gave none, and the reason.
///
/// Fails with `CloseTruncated` on a single byte, `CloseCodeInvalid` and `InvalidUtf8`.
pub fn parse(payload: &[u8]) -> Result<(Option<CloseCode>, &str), ProtocolError> {
    match payload {
        [] => Ok((None, "")),
        [_] => Err(ProtocolError::CloseTruncated),
        [high, low, reason @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low]))
                .ok_or(ProtocolError::CloseCodeInvalid)?;
            let reason =
                simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
            Ok((Some(code), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_that_may_travel_are_those_of_section_7_4_and_the_registry() {
        let travel = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
        for code in 0..=u16::MAX {
            let expect = travel.contains(&code) || (3000..5000).contains(&code);
            assert_eq!(CloseCode::new(code).is_some(), expect, "{code}");
        }
    }

    #[test]
    fn the_named_codes_may_travel() {
        for code in [
            CloseCode::NORMAL,
            CloseCode::GOING_AWAY,
            CloseCode::PROTOCOL_ERROR,
            CloseCode::UNSUPPORTED_DATA,
            CloseCode::INVALID_PAYLOAD,
            CloseCode::POLICY_VIOLATION,
            CloseCode::TOO_BIG,
            CloseCode::INTERNAL_ERROR,
            CloseCode::SERVICE_RESTART,
            CloseCode::TRY_AGAIN_LATER,
        ] {
            assert_eq!(CloseCode::new(code.get()), Some(code));
        }
    }

    #[test]
    fn a_close_payload_is_nothing_or_a_code_and_a_reason() {
        assert_eq!(parse(b""), Ok((None, "")));
        assert_eq!(parse(b"\x03\xe8"), Ok((Some(CloseCode::NORMAL), "")));
        assert_eq!(parse("\x0f\u{41}é".as_bytes()), Ok((CloseCode::new(0x0f41), "é")));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::CloseTruncated));
        assert_eq!(parse(b"\x03\xed"), Err(ProtocolError::CloseCodeInvalid));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
    }
}
