//! RFC 6455 for a server, without I/O: bytes in, [`Input`]s out; texts in, whole frames out.
//!
//! - [`handshake`] judges the upgrade request and writes the 101 head.
//! - [`Decoder`] walks received bytes in place. Between two frames it owns nothing.
//! - [`encoder`] builds frames once, header and payload in one block, to be shared by all receivers.
//!
//! Nothing here knows sockets, time, when a ping is due or what a text says. The closing handshake (who answers a
//! close, when the socket may go) belongs to the connection, the neighbour above; requests come from
//! [`http`](super::http), the neighbour beside.
//!
//! No input of a peer makes this module panic or hold more than [`Limits`] allows.

pub mod close;
pub mod decoder;
pub mod encoder;
pub mod frame;
pub mod handshake;
pub mod mask;
mod utf8;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;

pub use close::CloseCode;
pub use decoder::{Decoder, Input};
pub use frame::Opcode;

/// What one connection may make the server hold. Passed at each call, so that no connection stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text in bytes, all its fragments together.
    pub text_bytes: usize,
    /// Longest binary in bytes, all its fragments together.
    pub binary_bytes: usize,
    /// Most frames that one text or binary may be cut into by the peer; at least 1. Empty fragments cost the peer
    /// six bytes and hold nothing, so that only this bound ends a stream of them.
    pub fragments: u32,
}

/// What a peer did wrong. Every variant ends the connection with its [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProtocolError {
    /// RSV1, RSV2 or RSV3 is set and no extension was negotiated (RFC 6455 §5.2).
    #[error("a reserved bit is set")]
    ReservedBits,
    /// Opcode 3 to 7 or 11 to 15 (§5.2).
    #[error("a reserved opcode")]
    ReservedOpcode,
    /// A client's frame without a masking key (§5.1).
    #[error("an unmasked frame")]
    Unmasked,
    /// A length that fits in a shorter form (§5.2: "the minimal number of bytes MUST be used").
    #[error("a length in more bytes than needed")]
    LengthNotMinimal,
    /// A 64-bit length with its most significant bit set (§5.2).
    #[error("a length beyond 63 bits")]
    LengthTopBit,
    /// A close, ping or pong without FIN (§5.5).
    #[error("a fragmented control frame")]
    ControlFragmented,
    /// A close, ping or pong of more than 125 bytes (§5.5).
    #[error("a control frame of more than 125 bytes")]
    ControlTooLong,
    /// A continuation with nothing to continue (§5.4).
    #[error("a continuation without a start")]
    ContinuationUnexpected,
    /// A new text or binary before the fragmented one ended (§5.4).
    #[error("a new text or binary inside a fragmented one")]
    ContinuationExpected,
    /// A text or a close reason that is not UTF-8 (§8.1, §5.5.1).
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// A close payload of one byte, half a code (§5.5.1).
    #[error("a close payload of one byte")]
    CloseTruncated,
    /// A close code that may not travel (§7.4).
    #[error("a close code that may not be sent")]
    CloseCodeInvalid,
    /// A text or binary longer than [`Limits`] allows (§10.4, code 1009 of §7.4.1).
    #[error("a text or binary over the size limit")]
    TooLong,
    /// A text or binary in more frames than [`Limits`] allows (§10.4).
    #[error("a text or binary in too many fragments")]
    TooManyFragments,
}

impl ProtocolError {
    /// Every variant once, in order of declaration: the values of the metric's label.
    pub const ALL: [Self; 14] = [
        Self::ReservedBits,
        Self::ReservedOpcode,
        Self::Unmasked,
        Self::LengthNotMinimal,
        Self::LengthTopBit,
        Self::ControlFragmented,
        Self::ControlTooLong,
        Self::ContinuationUnexpected,
        Self::ContinuationExpected,
        Self::InvalidUtf8,
        Self::CloseTruncated,
        Self::CloseCodeInvalid,
        Self::TooLong,
        Self::TooManyFragments,
    ];

    /// The code to close with (RFC 6455 §7.4.1): 1007, 1009 or 1002.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::TooLong | Self::TooManyFragments => CloseCode::TOO_BIG,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The metric label: the variant in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved_bits",
            Self::ReservedOpcode => "reserved_opcode",
            Self::Unmasked => "unmasked",
            Self::LengthNotMinimal => "length_not_minimal",
            Self::LengthTopBit => "length_top_bit",
            Self::ControlFragmented => "control_fragmented",
            Self::ControlTooLong => "control_too_long",
            Self::ContinuationUnexpected => "continuation_unexpected",
            Self::ContinuationExpected => "continuation_expected",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::CloseTruncated => "close_truncated",
            Self::CloseCodeInvalid => "close_code_invalid",
            Self::TooLong => "too_long",
            Self::TooManyFragments => "too_many_fragments",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_closes_with_the_code_of_its_section() {
        for error in ProtocolError::ALL {
            let expect = match error {
                ProtocolError::InvalidUtf8 => 1007,
                ProtocolError::TooLong | ProtocolError::TooManyFragments => 1009,
                _ => 1002,
            };
            assert_eq!(error.close_code().get(), expect, "{error:?}");
        }
    }

    #[test]
    fn labels_are_the_variants_in_snake_case_and_none_is_missing() {
        for (index, error) in ProtocolError::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, index);
            let camel: String = error.name().split('_').map(capitalised).collect();
            assert_eq!(camel, format!("{error:?}"));
        }
        assert_eq!(ProtocolError::TooManyFragments as usize + 1, ProtocolError::ALL.len());
    }

    fn capitalised(word: &str) -> String {
        word[..1].to_uppercase() + &word[1..]
    }
}
