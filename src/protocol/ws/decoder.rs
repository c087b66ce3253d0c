//! Received bytes to [`Input`]s (RFC 6455 §5 to §6.2).
//!
//! The decoder walks the caller's buffer: each call shortens `bytes` from the front by what it took and returns the
//! next input. A frame that lies whole in the buffer is unmasked where it lies and handed out as a borrow of it;
//! nothing is allocated or copied. Only what a read has cut, or the peer has fragmented, is copied aside, as it comes.
//!
//! **Why the inputs borrow.** `bytes` is a `&mut &'a mut [u8]`, so that every input borrows its own part of the buffer
//! for `'a` and neither the decoder nor the rest of the buffer: the caller may keep it, return it out of a loop or
//! decode on. That lets a text leave as `&str`, validated exactly once and without `unsafe`; a range into the buffer
//! could not carry that proof. An input that was put together is owned by whoever receives it, and the decoder is
//! empty again at once.

use std::borrow::Cow;
use std::mem;

use super::frame::{CONTROL_PAYLOAD_BYTES_MAX, HEADER_BYTES_MAX, Header, Opcode};
use super::utf8::TextBuffer;
use super::{CloseCode, Limits, ProtocolError, close, mask};

/// What a client sent: one whole text or binary, or one control frame. Unmasked; texts and reasons are valid UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A text of at most [`Limits::text_bytes`].
    Text(Cow<'a, str>),
    /// A binary of at most [`Limits::binary_bytes`].
    Binary(Cow<'a, [u8]>),
    /// To be answered with a pong of the same payload, at most 125 bytes (RFC 6455 §5.5.2).
    Ping(Cow<'a, [u8]>),
    /// A sign of life, at most 125 bytes (§5.5.3).
    Pong(Cow<'a, [u8]>),
    /// The peer's last frame: its code, if it gave one, and its reason of at most 123 bytes (§5.5.1). What follows it
    /// is to be ignored, which is for the caller to do by calling no more.
    Close(Option<CloseCode>, Cow<'a, str>),
}

/// The receiving half of a server's connection. One pointer, null between two frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Boxed because it exists only while something is unfinished. Never kept empty.
    partial: Option<Box<Partial>>,
}

/// What earlier bytes have begun.
#[derive(Debug, Default)]
struct Partial {
    /// The frame that the last read cut. It is in progress while there is one.
    cut: Cut,
    /// The text or binary whose first bytes are there and whose last are not.
    assembly: Option<Assembly>,
}

#[derive(Debug, Default)]
enum Cut {
    /// The next byte begins a frame.
    #[default]
    No,
    /// Cut within the header: the first `len` bytes are there, too few for a whole one.
    Header { bytes: [u8; HEADER_BYTES_MAX], len: usize },
    /// Cut within a control frame of which `missing` bytes, at most 125, are to come.
    Control { opcode: Opcode, missing: usize, masking_key: [u8; 4], payload: Vec<u8> },
    /// Cut within a frame of the assembly of which `missing` bytes are to come; the key is turned to the next one.
    Data { fin: bool, missing: usize, masking_key: [u8; 4] },
    /// The peer broke the protocol; nothing is read any more.
    Failed(ProtocolError),
}

#[derive(Debug)]
struct Assembly {
    /// Frames begun, the first included.
    fragments: u32,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Text(TextBuffer),
    Binary(Vec<u8>),
}

impl Decoder {
    /// The next input of `bytes`, which is shortened by what was read; `None` when all of it was and more is needed.
    ///
    /// `limits` are judged as soon as a header announces what breaks them, before the payload has come. Memory grows
    /// with what arrived, never with what was announced. Text is judged as it comes.
    ///
    /// # Errors
    ///
    /// What the peer did wrong. The connection is lost then: the rest of `bytes` means nothing, and every later call
    /// gives the same error.
    #[inline]
    pub fn next<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        limits: &Limits,
    ) -> Option<Result<Input<'a>, ProtocolError>> {
        match self.advance(bytes, limits) {
            Ok(input) => input.map(Ok),
            Err(error) => {
                let failed = Partial { cut: Cut::Failed(error), assembly: None };
                self.partial = Some(Box::new(failed));
                Some(Err(error))
            }
        }
    }

    /// True exactly when the peer broke the protocol: nothing is read any more.
    pub fn has_failed(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| matches!(partial.cut, Cut::Failed(_)))
    }

    /// True exactly when no frame is cut, no text or binary fragmented, and no error was met: the decoder owns nothing.
    pub fn is_at_rest(&self) -> bool {
        self.partial.is_none()
    }

    #[inline]
    fn advance<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        limits: &Limits,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        if self.partial.is_some() {
            return self.resume(bytes, limits);
        }
        let Some((header, header_len)) = Header::parse(bytes)? else {
            self.keep_cut_header(bytes);
            return Ok(None);
        };
        take(bytes, header_len);
        match self.begin(header, bytes, limits)? {
            Some(input) => Ok(Some(input)),
            None => self.resume(bytes, limits),
        }
    }

    /// Goes on with what is unfinished until an input is complete or `bytes` are used up.
    fn resume<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        limits: &Limits,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        let input = loop {
            match self.step(bytes, limits)? {
                Step::Input(input) => break Some(input),
                Step::Again => {}
                Step::Starved => break None,
            }
        };
        if self.partial.as_ref().is_some_and(|partial| partial.is_empty()) {
            self.partial = None;
        }
        Ok(input)
    }

    fn step<'a>(
        &mut self,
        bytes: &mut &'a mut [u8],
        limits: &Limits,
    ) -> Result<Step<'a>, ProtocolError> {
        let partial = self.partial.get_or_insert_default();
        let header = match mem::take(&mut partial.cut) {
            Cut::No => {
                let Some((header, header_len)) = Header::parse(bytes)? else {
                    self.keep_cut_header(bytes);
                    return Ok(Step::Starved);
                };
                take(bytes, header_len);
                header
            }
            Cut::Header { bytes: mut start, len } => {
                let more = bytes.len().min(HEADER_BYTES_MAX - len);
                start[len..len + more].copy_from_slice(&bytes[..more]);
                let Some((header, header_len)) = Header::parse(&start[..len + more])? else {
                    take(bytes, more);
                    partial.cut = Cut::Header { bytes: start, len: len + more };
                    return Ok(Step::Starved);
                };
                take(bytes, header_len - len);
                header
            }
            Cut::Control { opcode, missing, masking_key, mut payload } => {
                let piece = unmasked_piece(bytes, missing, masking_key);
                payload.extend_from_slice(piece);
                let missing = missing - piece.len();
                if missing > 0 {
                    let masking_key = mask::rotated(masking_key, piece.len());
                    partial.cut = Cut::Control { opcode, missing, masking_key, payload };
                    return Ok(Step::Starved);
                }
                return Ok(Step::Input(control(opcode, Cow::Owned(payload))?));
            }
            Cut::Data { fin, missing, masking_key } => {
                let piece = unmasked_piece(bytes, missing, masking_key);
                let assembly =
                    partial.assembly.as_mut().expect("`begin` opens one before its data");
                assembly.push(piece)?;
                let missing = missing - piece.len();
                if missing > 0 {
                    let masking_key = mask::rotated(masking_key, piece.len());
                    partial.cut = Cut::Data { fin, missing, masking_key };
                    return Ok(Step::Starved);
                }
                return match partial.assembly.take_if(|_| fin) {
                    Some(assembly) => Ok(Step::Input(assembly.finish()?)),
                    None => Ok(Step::Again),
                };
            }
            Cut::Failed(error) => return Err(error),
        };
        Ok(self.begin(header, bytes, limits)?.map_or(Step::Again, Step::Input))
    }

    /// A frame begins and `bytes` follow its header: the input, if the frame is one and lies whole in them; otherwise
    /// `step` goes on with its payload.
    #[inline]
    fn begin<'a>(
        &mut self,
        header: Header,
        bytes: &mut &'a mut [u8],
        limits: &Limits,
    ) -> Result<Option<Input<'a>>, ProtocolError> {
        self.admit(&header, limits)?;
        let Header { fin, opcode, masking_key, payload_len } = header;
        let missing = usize::try_from(payload_len).expect("`admit` bounds it by a usize");
        let is_whole = missing <= bytes.len();
        let body = match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong if is_whole => {
                let payload = unmasked_piece(bytes, missing, masking_key);
                return control(opcode, Cow::Borrowed(payload)).map(Some);
            }
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                let payload = Vec::with_capacity(missing);
                let cut = Cut::Control { opcode, missing, masking_key, payload };
                self.partial.get_or_insert_default().cut = cut;
                return Ok(None);
            }
            Opcode::Text if fin && is_whole => {
                let payload: &'a [u8] = unmasked_piece(bytes, missing, masking_key);
                let text = simdutf8::basic::from_utf8(payload);
                let text = text.map_err(|_| ProtocolError::InvalidUtf8)?;
                return Ok(Some(Input::Text(Cow::Borrowed(text))));
            }
            Opcode::Binary if fin && is_whole => {
                let payload = unmasked_piece(bytes, missing, masking_key);
                return Ok(Some(Input::Binary(Cow::Borrowed(payload))));
            }
            Opcode::Text => Some(Body::Text(TextBuffer::default())),
            Opcode::Binary => Some(Body::Binary(Vec::new())),
            Opcode::Continuation => None,
        };
        let partial = self.partial.get_or_insert_default();
        partial.cut = Cut::Data { fin, missing, masking_key };
        match (body, &mut partial.assembly) {
            (Some(body), assembly) => *assembly = Some(Assembly { fragments: 1, body }),
            (None, Some(assembly)) => assembly.fragments += 1,
            (None, None) => unreachable!("`admit` refuses a continuation of nothing"),
        }
        Ok(None)
    }

    /// Whether a frame with this header may come now: the order of fragments (RFC 6455 §5.4), then the limits.
    #[inline]
    fn admit(&self, header: &Header, limits: &Limits) -> Result<(), ProtocolError> {
        let assembly = self.partial.as_ref().and_then(|partial| partial.assembly.as_ref());
        let (bytes_max, bytes, fragments) = match (header.opcode, assembly) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                debug_assert!(header.payload_len <= CONTROL_PAYLOAD_BYTES_MAX as u64);
                return Ok(());
            }
            (Opcode::Text, None) => (limits.text_bytes, 0, 0),
            (Opcode::Binary, None) => (limits.binary_bytes, 0, 0),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(ProtocolError::ContinuationExpected);
            }
            (Opcode::Continuation, None) => return Err(ProtocolError::ContinuationUnexpected),
            (Opcode::Continuation, Some(Assembly { fragments, body })) => match body {
                Body::Text(text) => (limits.text_bytes, text.byte_len(), *fragments),
                Body::Binary(binary) => (limits.binary_bytes, binary.len(), *fragments),
            },
        };
        if header.payload_len > bytes_max.saturating_sub(bytes) as u64 {
            return Err(ProtocolError::TooLong);
        }
        if fragments >= limits.fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        Ok(())
    }

    /// `bytes` are the beginning of a header, or nothing.
    fn keep_cut_header(&mut self, bytes: &mut &mut [u8]) {
        let len = bytes.len();
        if len > 0 {
            let mut start = [0; HEADER_BYTES_MAX];
            start[..len].copy_from_slice(take(bytes, len));
            self.partial.get_or_insert_default().cut = Cut::Header { bytes: start, len };
        }
    }
}

enum Step<'a> {
    Input(Input<'a>),
    /// A frame, or its header, is done and bytes may be left.
    Again,
    /// All bytes were used up.
    Starved,
}

impl Partial {
    fn is_empty(&self) -> bool {
        matches!(self.cut, Cut::No) && self.assembly.is_none()
    }
}

impl Assembly {
    fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        match &mut self.body {
            Body::Text(text) => text.push(piece),
            Body::Binary(binary) => {
                binary.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn finish<'a>(self) -> Result<Input<'a>, ProtocolError> {
        Ok(match self.body {
            Body::Text(text) => Input::Text(Cow::Owned(text.finish()?)),
            Body::Binary(binary) => Input::Binary(Cow::Owned(binary)),
        })
    }
}

/// The input that a whole control frame is.
fn control(opcode: Opcode, payload: Cow<'_, [u8]>) -> Result<Input<'_>, ProtocolError> {
    Ok(match opcode {
        Opcode::Ping => Input::Ping(payload),
        Opcode::Pong => Input::Pong(payload),
        _ => match payload {
            Cow::Borrowed(payload) => {
                let (code, reason) = close::parse(payload)?;
                Input::Close(code, Cow::Borrowed(reason))
            }
            Cow::Owned(payload) => {
                let (code, reason) = close::parse(&payload)?;
                Input::Close(code, Cow::Owned(reason.to_owned()))
            }
        },
    })
}

/// Up to `len` bytes from the front of `bytes`, unmasked where they lie.
#[inline]
fn unmasked_piece<'a>(bytes: &mut &'a mut [u8], len: usize, masking_key: [u8; 4]) -> &'a mut [u8] {
    let piece = take(bytes, len.min(bytes.len()));
    mask::apply(piece, masking_key);
    piece
}

/// The first `len` of `bytes`, which is shortened by them.
#[inline]
fn take<'a>(bytes: &mut &'a mut [u8], len: usize) -> &'a mut [u8] {
    bytes.split_off_mut(..len).expect("no more is asked for than there is")
}

#[cfg(test)]
mod tests;
