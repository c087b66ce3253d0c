//! Any order of anything: no panic, no half frame, no word after the last.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Bytes come in, in pieces of this many.
    Receive(Vec<u8>, usize),
    Respond(u16, usize),
    Upgrade,
    Send(usize, bool),
    Leave(usize),
    Close(u16),
    CloseNow,
    Shut,
    Wait(u64),
}

fn input() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(GET.as_bytes().to_vec()),
        1 => Just(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
        1 => Just(b"POST /b HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n".to_vec()),
        4 => "[a-z]{0,120}".prop_map(|words| text(&words)),
        2 => proptest::collection::vec(any::<u8>(), 0..130).prop_map(|payload| frame(Opcode::Ping, &payload)),
        1 => Just(frame(Opcode::Pong, b"")),
        1 => any::<u16>().prop_map(|code| frame(Opcode::Close, &code.to_be_bytes())),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (input(), 1..200usize).prop_map(|(bytes, step)| Op::Receive(bytes, step)),
        3 => (200..600u16, 0..300usize).prop_map(|(status, len)| Op::Respond(status, len)),
        3 => Just(Op::Upgrade),
        6 => (0..300usize, any::<bool>()).prop_map(|(len, sheddable)| Op::Send(len, sheddable)),
        6 => (1..600usize).prop_map(Op::Leave),
        1 => any::<u16>().prop_map(Op::Close),
        1 => Just(Op::CloseNow),
        1 => Just(Op::Shut),
        2 => (0..30_000u64).prop_map(Op::Wait),
    ]
}

/// Carries out what a shard may do in this phase.
fn apply(world: &mut World, op: Op, upgraded: &mut Option<usize>) {
    match op {
        Op::Receive(bytes, step) => {
            for piece in bytes.chunks(step) {
                // As `Line::may_read` has it.
                if world.conn.holds_kept() || world.conn.phase() == Phase::Deciding {
                    break;
                }
                world.receives(piece);
            }
        }
        Op::Respond(status, len) if world.conn.phase() == Phase::Deciding => {
            world.responds(&Response::text(status, vec![b'r'; len]));
            if world.conn.phase() == Phase::Head {
                world.receives("");
            }
        }
        Op::Upgrade if world.conn.phase() == Phase::Deciding => {
            *upgraded = Some(world.sent.len() + world.conn.outbound().len() + HELLO.len());
            world.conn.upgrade(HELLO.to_vec(), world.now);
            if world.conn.phase() == Phase::Open {
                world.receives("");
            }
        }
        Op::Send(len, sheddable) => {
            let frame = ws::encoder::binary(&vec![b's'; len]);
            world.conn.send(frame, sheddable, world.now, &LIMITS);
        }
        Op::Leave(max) => world.sends_off(max),
        Op::Close(code) => world.closes(code),
        Op::CloseNow => world.conn.close_now(4480, "slow", world.now, &LIMITS),
        Op::Shut => world.conn.on_shut(world.now, &LIMITS),
        Op::Wait(ms) => match world.waits(ms) {
            Due::RequestTimeout => world.responds(&Response::new(408)),
            Due::DecisionTimeout => world.responds(&Response::new(503)),
            Due::Unresponsive => world.closes(4408),
            Due::SlowConsumer => world.conn.close_now(4480, "slow", world.now, &LIMITS),
            Due::Nothing | Due::Queued | Due::Lost => {}
        },
        Op::Respond(..) | Op::Upgrade => {}
    }
}

/// The opcodes of whole frames; an error where they are none.
fn opcodes(mut bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut seen = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match (second, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(*high) << 8 | usize::from(*low), rest),
            (0..126, rest) => (usize::from(*second), rest),
            _ => return Err(format!("no header of ours: {bytes:?}")),
        };
        if !matches!(first, 0x82 | 0x88..=0x8A) || rest.len() < len {
            return Err(format!("no frame of ours: {bytes:?}"));
        }
        seen.push(first & 0x0F);
        bytes = &rest[len..];
    }
    if bytes.is_empty() { Ok(seen) } else { Err(format!("half a frame: {bytes:?}")) }
}

proptest! {
    #[test]
    fn any_order_of_anything_sends_whole_frames_and_nothing_after_the_last(
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new();
        let mut upgraded = None;
        for op in ops {
            apply(&mut world, op, &mut upgraded);
            let most = LIMITS.outbound.hard_bytes + 127;
            if world.conn.phase() == Phase::Open {
                // The head of the upgrade, and a response before it, are beside the bound.
                prop_assert!(world.conn.outbound().len() <= most + HELLO.len() + 1_000);
            }
            if world.conn.phase() == Phase::Closed {
                break;
            }
            prop_assert!(world.conn.deadline(&LIMITS) < Mono(u64::MAX));
        }
        let is_lost = world.conn.phase() == Phase::Closed;
        let is_cut = is_lost && !world.conn.outbound().is_empty();
        while !is_lost && !world.conn.outbound().is_empty() {
            world.sends_off(usize::MAX);
        }
        if let Some(start) = upgraded.filter(|start| !is_cut && world.sent.len() >= *start) {
            let opcodes = opcodes(&world.sent[start..]).map_err(TestCaseError::fail)?;
            let first_close = opcodes.iter().position(|opcode| *opcode == 8);
            prop_assert!(first_close.is_none_or(|at| at + 1 == opcodes.len()), "{:?}", opcodes);
        }
    }
}
