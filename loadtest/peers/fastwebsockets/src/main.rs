//! fastwebsockets behind hyper: `/_echo` sends back what came, `/room/N` to all members of room N.

use std::convert::Infallible;
use std::env;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, is_upgrade_request, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

use crate::rooms::Rooms;

mod rooms;

/// The longest text, bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (host, port) = (env::var("HOST").context("HOST")?, env::var("PORT").context("PORT")?);
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(format!("{host}:{port}").parse()?)?;
    let listener = socket.listen(BACKLOG)?;
    let rooms = Rc::new(Rooms::default());
    LocalSet::new()
        .run_until(async {
            loop {
                let (connection, _) = listener.accept().await?;
                spawn_local(serve(connection, Rc::clone(&rooms)));
            }
        })
        .await
}

/// Answers one request; one that was upgraded lives on by itself.
async fn serve(connection: TcpStream, rooms: Rc<Rooms>) {
    // A connection that is gone already says so when it is read.
    let _ = connection.set_nodelay(true);
    let service = service_fn(|request| {
        let rooms = Rc::clone(&rooms);
        async move { Ok::<_, Infallible>(answer(request, rooms)) }
    });
    // A request that cannot be read ends its connection, and nobody else's.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .with_upgrades()
        .await;
}

fn answer(mut request: Request<Incoming>, rooms: Rc<Rooms>) -> Response<Empty<Bytes>> {
    let path = request.uri().path();
    let room = path.strip_prefix("/room/").map(str::to_owned);
    if room.is_none() && path != "/_echo" {
        return refuse(StatusCode::NOT_FOUND);
    }
    if !is_upgrade_request(&request) {
        return refuse(StatusCode::UPGRADE_REQUIRED);
    }
    match upgrade(&mut request) {
        Ok((response, upgraded)) => {
            spawn_local(async move {
                // A connection that breaks or breaks the rules is over, and that is all.
                let _ = match room {
                    Some(name) => rooms.visit(name, upgraded).await,
                    None => echo(upgraded).await,
                };
            });
            response
        }
        Err(_) => refuse(StatusCode::BAD_REQUEST),
    }
}

fn refuse(status: StatusCode) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    socket.set_max_message_size(MESSAGE_BYTES_MAX);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            // Pings are answered by the library.
            _ => {}
        }
    }
}
