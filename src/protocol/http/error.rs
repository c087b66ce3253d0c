//! Why a request was refused before anybody looked at what it asks for.

/// A request that cannot be read. The answer is written with `Connection: close`: where the next
/// request would begin is unknown or cannot be trusted (RFC 9112 §9.6, §11.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.detail())]
pub enum RequestError {
    /// The request line is not `method SP target SP version CRLF` (RFC 9112 §3).
    BadRequestLine,
    /// The target is in none of the accepted forms, or not ASCII (RFC 9112 §3.2).
    BadTarget,
    /// The target is longer than allowed (RFC 9112 §3).
    TargetTooLong,
    /// The major version is not 1 (RFC 9110 §15.6.6).
    VersionNotSupported,
    /// A line of the head ends in LF alone (RFC 9112 §2.2).
    BareLineFeed,
    /// A header field is malformed: a name that is no token, whitespace before the colon or before
    /// the name (which covers obs-fold), a control character (RFC 9112 §5, §5.1, §5.2).
    BadHeader,
    /// The head is longer than allowed (RFC 6585 §5).
    HeadTooLarge,
    /// There are more header fields than allowed (RFC 6585 §5).
    TooManyHeaders,
    /// `Host` is missing, repeated or malformed (RFC 9112 §3.2).
    BadHost,
    /// `Content-Length` is not one decimal number given once (RFC 9112 §6.2, §6.3).
    BadContentLength,
    /// `Content-Length` and `Transfer-Encoding` in one request (RFC 9112 §6.1, §6.3).
    LengthConflict,
    /// `Transfer-Encoding` does not end in `chunked`, or came with HTTP/1.0 (RFC 9112 §6.1, §6.3).
    BadTransferEncoding,
    /// A transfer coding beside `chunked` (RFC 9112 §6.1).
    UnsupportedTransferEncoding,
    /// The chunked framing is broken (RFC 9112 §7.1).
    BadChunk,
    /// Chunk extensions and trailers are longer than allowed (RFC 9112 §7.1.1, §7.1.2).
    ChunkOverhead,
    /// The body is longer than allowed (RFC 9110 §15.5.14).
    BodyTooLarge,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed,
}

impl RequestError {
    /// The status code of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequestLine
            | Self::BadTarget
            | Self::BareLineFeed
            | Self::BadHeader
            | Self::BadHost
            | Self::BadContentLength
            | Self::LengthConflict
            | Self::BadTransferEncoding
            | Self::BadChunk => 400,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::ExpectationFailed => 417,
            Self::HeadTooLarge | Self::TooManyHeaders | Self::ChunkOverhead => 431,
            Self::UnsupportedTransferEncoding => 501,
            Self::VersionNotSupported => 505,
        }
    }

    /// The word for machines: in the problem's `code` and as a metric label.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequestLine => "bad_request_line",
            Self::BadTarget => "bad_target",
            Self::TargetTooLong => "target_too_long",
            Self::VersionNotSupported => "version_not_supported",
            Self::BareLineFeed => "bare_line_feed",
            Self::BadHeader => "bad_header",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::BadHost => "bad_host",
            Self::BadContentLength => "bad_content_length",
            Self::LengthConflict => "length_conflict",
            Self::BadTransferEncoding => "bad_transfer_encoding",
            Self::UnsupportedTransferEncoding => "unsupported_transfer_encoding",
            Self::BadChunk => "bad_chunk",
            Self::ChunkOverhead => "chunk_overhead",
            Self::BodyTooLarge => "body_too_large",
            Self::ExpectationFailed => "expectation_failed",
        }
    }

    /// The sentence for people. It never repeats what the peer sent.
    pub fn detail(self) -> &'static str {
        match self {
            Self::BadRequestLine => "The request line is malformed.",
            Self::BadTarget => "The request target is malformed.",
            Self::TargetTooLong => "The request target is too long.",
            Self::VersionNotSupported => "Only HTTP/1.1 and HTTP/1.0 are spoken here.",
            Self::BareLineFeed => "A line of the request does not end in CRLF.",
            Self::BadHeader => "A header field is malformed.",
            Self::HeadTooLarge => "The request head is too large.",
            Self::TooManyHeaders => "The request has too many header fields.",
            Self::BadHost => "The Host header field is missing, repeated or malformed.",
            Self::BadContentLength => "Content-Length is not one decimal number.",
            Self::LengthConflict => "Content-Length and Transfer-Encoding exclude each other.",
            Self::BadTransferEncoding => "Transfer-Encoding is malformed.",
            Self::UnsupportedTransferEncoding => {
                "The only transfer coding understood here is chunked."
            }
            Self::BadChunk => "The chunked body is malformed.",
            Self::ChunkOverhead => "Chunk extensions or trailers are too large.",
            Self::BodyTooLarge => "The request body is too large.",
            Self::ExpectationFailed => "The only expectation understood here is 100-continue.",
        }
    }
}
