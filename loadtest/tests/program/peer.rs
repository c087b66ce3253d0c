//! A peer with one room that sends every text to all, and that can be told to do wrong.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it does wrong with the tenth text, to the second session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing.
    Nothing,
    /// It leaves it out.
    Drops,
    /// It sends it twice.
    Doubles,
    /// It sends another text.
    Changes,
}

/// Sessions, and how many texts came.
type Room = Arc<Mutex<(Vec<TcpStream>, usize)>>;

/// Starts it; it ends with the test.
pub(crate) fn peer(wrong: Wrong) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let room = Room::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, room) = (stream.unwrap(), Arc::clone(&room));
            std::thread::spawn(move || serve(stream, &room, wrong));
        }
    });
    address
}

fn serve(stream: TcpStream, room: &Room, wrong: Wrong) {
    stream.set_nodelay(true).unwrap();
    let kept = stream.try_clone().unwrap();
    let mut socket = {
        // Whoever is told to be in the room is: nobody is heard before.
        let mut room = room.lock().unwrap();
        let Ok(socket) = tungstenite::accept(stream) else { return };
        room.0.push(kept);
        socket
    };
    while let Ok(message) = socket.read() {
        let Ok(text) = message.into_text() else { return };
        if text.is_empty() {
            return;
        }
        let mut room = room.lock().unwrap();
        room.1 += 1;
        let is_tenth = room.1 == 10;
        for (n, session) in room.0.iter_mut().enumerate() {
            let frame = frame(&text);
            // One that is gone hears nothing.
            let mut send = |frame: &[u8]| drop(session.write_all(frame));
            match wrong {
                Wrong::Drops if is_tenth && n == 1 => {}
                Wrong::Doubles if is_tenth && n == 1 => {
                    send(&frame);
                    send(&frame);
                }
                Wrong::Changes if is_tenth && n == 1 => send(&self::frame(&text.replace('a', "b"))),
                _ => send(&frame),
            }
        }
    }
}

fn frame(text: &str) -> Vec<u8> {
    let len = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81];
    if len <= 125 {
        frame.push(len as u8);
    } else {
        frame.push(126);
        frame.extend(len.to_be_bytes());
    }
    frame.extend(text.as_bytes());
    frame
}
