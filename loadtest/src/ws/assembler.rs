//! Joins fragments to messages (RFC 6455 §5.4). A message in one frame is never copied.

use super::{Opcode, PAYLOAD_BYTES_MAX, Violation};

/// The beginning of a message whose end is to come; one pointer where there is none.
#[derive(Default)]
pub(crate) struct Assembler(Option<Box<(Opcode, Vec<u8>)>>);

/// What a data frame completes.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Joined {
    /// Nothing yet.
    Nothing,
    /// A message by itself: its payload is the frame's.
    Whole(Opcode),
    /// The last fragment of a message.
    Parts(Opcode, Vec<u8>),
}

impl Assembler {
    /// Takes a data frame.
    pub(crate) fn push(
        &mut self,
        fin: bool,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<Joined, Violation> {
        debug_assert!(!opcode.is_control());
        let Some(mut begun) = self.0.take() else {
            if opcode == Opcode::Continuation {
                return Err(Violation::Fragment);
            }
            if fin {
                return Ok(Joined::Whole(opcode));
            }
            self.0 = Some(Box::new((opcode, payload.to_vec())));
            return Ok(Joined::Nothing);
        };
        if opcode != Opcode::Continuation {
            return Err(Violation::Fragment);
        }
        if begun.1.len() + payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Violation::Length);
        }
        begun.1.extend_from_slice(payload);
        if fin {
            return Ok(Joined::Parts(begun.0, begun.1));
        }
        self.0 = Some(begun);
        Ok(Joined::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use Opcode::{Binary, Continuation, Text};

    use super::*;

    #[test]
    fn fragments_join_in_order() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push(true, Text, b"whole"), Ok(Joined::Whole(Text)));
        assert_eq!(assembler.push(false, Text, b"a"), Ok(Joined::Nothing));
        assert_eq!(assembler.push(false, Continuation, b""), Ok(Joined::Nothing));
        let joined = assembler.push(true, Continuation, b"b").unwrap();
        assert_eq!(joined, Joined::Parts(Text, b"ab".to_vec()));
        assert_eq!(assembler.push(true, Binary, b""), Ok(Joined::Whole(Binary)));
    }

    #[test]
    fn fragments_out_of_place_are_refused() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push(true, Continuation, b""), Err(Violation::Fragment));
        assert_eq!(assembler.push(false, Text, b"a"), Ok(Joined::Nothing));
        assert_eq!(assembler.push(true, Text, b"b"), Err(Violation::Fragment));
    }

    #[test]
    fn fragments_without_end_are_refused() {
        let mut assembler = Assembler::default();
        let half = vec![b'x'; PAYLOAD_BYTES_MAX / 2 + 1];
        assert_eq!(assembler.push(false, Text, &half), Ok(Joined::Nothing));
        assert_eq!(assembler.push(false, Continuation, &half), Err(Violation::Length));
    }
}
