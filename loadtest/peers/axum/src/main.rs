//! axum, which speaks WebSocket by tungstenite: `/_echo` sends back what came, `/room/N` to all members of room N.

use std::collections::HashMap;
use std::env;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::SinkExt as _;
use tokio::net::TcpSocket;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What a connection reads into, bytes. The library's own 128 KiB are zeroed for every connection.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// The longest text, bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Texts that wait for a member at most; over it the member is let go.
const BEHIND_MAX: usize = 1_024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rooms that have members, by number.
type Rooms = Arc<Mutex<HashMap<u64, broadcast::Sender<Utf8Bytes>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (host, port) = (env::var("HOST").context("HOST")?, env::var("PORT").context("PORT")?);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(format!("{host}:{port}").parse()?)?;
    let listener = socket.listen(BACKLOG)?.tap_io(|connection| {
        // A connection that is gone already says so when it is read.
        let _ = connection.set_nodelay(true);
    });
    let router = Router::new()
        .route("/_echo", get(async |upgrade| bounded(upgrade).on_upgrade(echo)))
        .route("/room/{number}", get(room))
        .with_state(Rooms::default());
    Ok(axum::serve(listener, router).await?)
}

async fn room(
    State(rooms): State<Rooms>,
    Path(number): Path<u64>,
    upgrade: WebSocketUpgrade,
) -> Response {
    bounded(upgrade).on_upgrade(async move |socket| {
        let (room, told) = {
            let mut rooms = rooms.lock().expect("nobody panics with it");
            let room = rooms.entry(number).or_insert_with(|| broadcast::Sender::new(BEHIND_MAX));
            (room.clone(), room.subscribe())
        };
        member(socket, &room, told).await;
        let mut rooms = rooms.lock().expect("nobody panics with it");
        if room.receiver_count() == 0 {
            rooms.remove(&number);
        }
    })
}

fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // Pings and closes are answered by the library.
            _ => Ok(()),
        };
        if sent.is_err() {
            break;
        }
    }
}

/// Passes texts on until the connection ends.
async fn member(
    mut socket: WebSocket,
    room: &broadcast::Sender<Utf8Bytes>,
    mut told: broadcast::Receiver<Utf8Bytes>,
) {
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    // This member listens, so there is one.
                    let _ = room.send(text);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            text = told.recv() => if tell(&mut socket, text, &mut told).await.is_err() {
                break;
            },
        }
    }
}

/// Writes `text` and all that is there behind it at once.
async fn tell(
    socket: &mut WebSocket,
    text: Result<Utf8Bytes, RecvError>,
    told: &mut broadcast::Receiver<Utf8Bytes>,
) -> anyhow::Result<()> {
    socket.feed(Message::Text(text?)).await?;
    while let Ok(text) = told.try_recv() {
        socket.feed(Message::Text(text)).await?;
    }
    Ok(socket.flush().await?)
}
