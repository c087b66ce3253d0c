// The `ws` package: `/_echo` sends back what came, `/room/N` to all members of room N.

import { WebSocket, WebSocketServer } from "ws";

const HEARTBEAT_MS = 25_000;

/** The members of each room, by its path. @type {Map<string, Set<WebSocket>>} */
const rooms = new Map();

const server = new WebSocketServer({
  host: process.env.HOST,
  port: Number(process.env.PORT),
  backlog: 4096,
  perMessageDeflate: false,
  maxPayload: 65536,
  verifyClient: ({ req }, decide) =>
    decide(req.url === "/_echo" || req.url.startsWith("/room/"), 404),
});

server.on("connection", (socket, request) => {
  socket.alive = true;
  socket.on("pong", () => (socket.alive = true));
  // A broken connection is closed as well, and leaves its room then.
  socket.on("error", () => {});
  if (request.url === "/_echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  } else {
    join(socket, request.url);
  }
});

function join(socket, name) {
  const room = rooms.get(name) ?? new Set();
  rooms.set(name, room.add(socket));
  socket.on("message", (data, binary) => {
    for (const member of room) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary });
    }
  });
  socket.on("close", () => {
    room.delete(socket);
    if (room.size === 0) rooms.delete(name);
  });
}

setInterval(() => {
  for (const socket of server.clients) {
    if (!socket.alive) {
      socket.terminate();
      continue;
    }
    socket.alive = false;
    socket.ping();
  }
}, HEARTBEAT_MS);
