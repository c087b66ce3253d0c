// Bun's own WebSocket server (uWebSockets inside): `/_echo` sends back what came, `/room/N` to all members of room N.

const SECOND = 1;

Bun.serve({
  hostname: process.env.HOST,
  port: Number(process.env.PORT),
  development: false,

  fetch(request, server) {
    const path = new URL(request.url).pathname;
    const room = path.startsWith("/room/") ? path : null;
    if (room === null && path !== "/_echo") return new Response(null, { status: 404 });
    if (server.upgrade(request, { data: { room } })) return undefined;
    return new Response(null, { status: 426 });
  },

  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 65536,
    idleTimeout: 60 * SECOND,
    sendPings: true,
    publishToSelf: true,

    open(socket) {
      if (socket.data.room !== null) socket.subscribe(socket.data.room);
    },

    message(socket, message) {
      if (socket.data.room === null) socket.send(message);
      else socket.publish(socket.data.room, message);
    },
  },
});
