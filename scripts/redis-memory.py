#!/usr/bin/env python3
"""What the groups of a node cost Redis, bytes: a private redis-server, 100,000 groups of each kind, and what it uses more then.

    scripts/redis-memory.py [further settings of redis-server, as --zset-max-listpack-value 128]
"""

import socket
import subprocess
import sys
import tempfile
import time

GROUPS = 100_000
BATCH = 500
# Two nodes.
NODES = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
# The names that a node listens to.
KINDS = {
    "conversation": ["chat_{}", "fortifun.chat_{}", "conversation_{}"],
    "user": ["user_{}_notifications", "fortifun.user_{}_notifications"],
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Client:
    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port))
        self.lines = self.stream.makefile("rb")

    def send(self, *commands):
        for words in commands:
            words = [word.encode() for word in words]
            sizes = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
            self.stream.sendall(b"*%d\r\n%s" % (len(words), sizes))

    def skip(self, lines):
        for _ in range(lines):
            self.lines.readline()

    def used_memory(self):
        # What was read and written since is given back once a connection rests.
        time.sleep(4)
        self.send(["INFO", "memory"])
        text = self.lines.read(int(self.lines.readline()[1:]) + 2).decode()
        return int(text.split("used_memory:")[1].split()[0])


def subscribe(client, names, _node):
    client.send(["SUBSCRIBE", *(f"asgi__group__{name}" for name in names)])
    client.skip(6 * len(names))


def join(client, names, node):
    for name in names:
        key = f"asgi:group:{name}"
        client.send(["ZADD", key, f"{time.time():.6f}", f"specific.{node}!{name}"], ["EXPIRE", key, "86400"])
    client.skip(2 * len(names))


def measure(kind, act):
    port = free_port()
    names = [name.format(number) for number in range(1, GROUPS + 1) for name in KINDS[kind]]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "no", *sys.argv[1:]]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            time.sleep(1)
            asker, nodes, used = Client(port), [], []
            used.append(asker.used_memory())
            for node in NODES:
                nodes.append(Client(port))
                for start in range(0, len(names), BATCH):
                    act(nodes[-1], names[start : start + BATCH], node)
                used.append(asker.used_memory())
            return [round((after - before) / GROUPS) for before, after in zip(used, used[1:])]
        finally:
            server.terminate()
            server.wait()


for kind in KINDS:
    for layer, act in (("redis-pubsub", subscribe), ("redis-core", join)):
        first, further = measure(kind, act)
        print(f"{kind:12}  {layer:12}  first node {first:5}  each further {further:5}", flush=True)
