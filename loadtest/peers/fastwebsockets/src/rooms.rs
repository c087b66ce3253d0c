//! Who is in which room, and what is said there.
//!
//! The library's reads are not to be given up half way, so that each member's reads and writes are two futures of one task: a
//! socket that is split in two. What the library wants to answer (pongs, a close) goes to the writing half.

use std::cell::RefCell;
use std::collections::HashMap;

use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketRead, WebSocketWrite,
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{broadcast, mpsc};

use crate::MESSAGE_BYTES_MAX;

/// Texts that wait for a member at most; over it the member is let go.
const BEHIND_MAX: usize = 1_024;

type Stream = TokioIo<Upgraded>;

/// The rooms that have members, by name.
#[derive(Default)]
pub(crate) struct Rooms(RefCell<HashMap<String, broadcast::Sender<Bytes>>>);

impl Rooms {
    /// Passes texts on until the connection ends.
    ///
    /// # Errors
    ///
    /// It broke, broke the rules, or did not keep up.
    pub(crate) async fn visit(
        &self,
        name: String,
        upgraded: UpgradeFut,
    ) -> Result<(), WebSocketError> {
        let mut socket = upgraded.await?;
        socket.set_max_message_size(MESSAGE_BYTES_MAX);
        let (read, write) = socket.split(tokio::io::split);
        let (room, told) = self.join(name.clone());
        let (answers, to_answer) = mpsc::unbounded_channel();
        let ended = tokio::select! {
            ended = hear(read, &room, &answers) => ended,
            ended = tell(write, told, to_answer) => ended,
        };
        if room.receiver_count() == 0 {
            self.0.borrow_mut().remove(&name);
        }
        ended
    }

    fn join(&self, name: String) -> (broadcast::Sender<Bytes>, broadcast::Receiver<Bytes>) {
        let mut rooms = self.0.borrow_mut();
        let room = rooms.entry(name).or_insert_with(|| broadcast::Sender::new(BEHIND_MAX));
        (room.clone(), room.subscribe())
    }
}

/// Reads what the member says.
async fn hear(
    read: WebSocketRead<ReadHalf<Stream>>,
    room: &broadcast::Sender<Bytes>,
    answers: &mpsc::UnboundedSender<Frame<'static>>,
) -> Result<(), WebSocketError> {
    let mut read = FragmentCollectorRead::new(read);
    let mut answer = |frame| {
        let sent = answers.send(frame);
        async { sent }
    };
    loop {
        let frame = read.read_frame(&mut answer).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => {
                // This member listens, so there is one.
                let _ = room.send(bytes(frame.payload));
            }
            _ => {}
        }
    }
}

/// Writes what is said in the room.
async fn tell(
    mut write: WebSocketWrite<WriteHalf<Stream>>,
    mut told: broadcast::Receiver<Bytes>,
    mut to_answer: mpsc::UnboundedReceiver<Frame<'static>>,
) -> Result<(), WebSocketError> {
    loop {
        tokio::select! {
            text = told.recv() => {
                let text = text.map_err(|_| WebSocketError::ConnectionClosed)?;
                write.write_frame(Frame::text(Payload::Borrowed(&text))).await?;
            }
            Some(frame) = to_answer.recv() => write.write_frame(frame).await?,
        }
    }
}

fn bytes(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        other => Bytes::from(Vec::from(other)),
    }
}
