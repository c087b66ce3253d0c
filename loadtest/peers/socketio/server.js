// Socket.IO over its WebSocket transport: an event `message` goes back to who sent it or, where the handshake's query names
// a `room`, to all who named the same.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();

const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
  maxHttpBufferSize: 65536,
  pingInterval: 25_000,
});

io.on("connection", (socket) => {
  // Whoever keeps it keeps the whole request.
  const { room } = socket.handshake.query;
  if (room === undefined) {
    socket.on("message", (text) => socket.emit("message", text));
  } else {
    socket.join(room);
    socket.on("message", (text) => io.to(room).emit("message", text));
  }
});

http.listen({ host: process.env.HOST, port: Number(process.env.PORT), backlog: 4096 });
