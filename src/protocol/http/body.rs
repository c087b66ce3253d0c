//! A body that comes in pieces.

use super::chunked::Chunked;
use super::framing::Framing;
use super::{Limits, RequestError};

/// A body on its way in: what came, and how the rest is framed.
#[derive(Clone)]
pub(super) struct Body {
    bytes: Vec<u8>,
    rest: Rest,
}

#[derive(Clone)]
enum Rest {
    /// That many bytes are missing.
    Length(usize),
    Chunked(Chunked),
}

impl Body {
    /// Nothing came yet. Nothing is allocated either: a length that is only announced costs the
    /// peer nothing, so it may cost us nothing.
    pub(super) fn new(framing: Framing) -> Self {
        let rest = match framing {
            Framing::Empty => Rest::Length(0),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::new()),
        };
        Self { bytes: Vec::new(), rest }
    }

    /// Takes from `buf` what belongs to this body and moves `*pos` behind it. True exactly when
    /// the body is complete; else all of `buf` was taken.
    pub(super) fn read(
        &mut self,
        buf: &[u8],
        pos: &mut usize,
        limits: &Limits,
    ) -> Result<bool, RequestError> {
        match &mut self.rest {
            Rest::Length(missing) => {
                let len = (*missing).min(buf.len() - *pos);
                self.bytes.extend_from_slice(&buf[*pos..*pos + len]);
                *pos += len;
                *missing -= len;
                Ok(*missing == 0)
            }
            Rest::Chunked(chunked) => chunked.decode(buf, pos, &mut self.bytes, limits),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
