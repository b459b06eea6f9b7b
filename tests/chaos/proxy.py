"""proxy - stands between agents and the gateway's callback port, and breaks links on purpose: after an exact
number of bytes, at random distances, at once; swallows one direction; lets nobody through. It knows the
container of a link by its request line, so that each has a rule of its own. A process of its own, told what to
do over a unix socket, a line of JSON each way.

Directions: "up" is agent to gateway, "down" is gateway to agent. Rules for new links:
    None                                              they pass
    {"kind": "exact", "way": "up", "at": 700, "hard": false}
                                                      the next one is cut when so many bytes have passed
    {"kind": "random", "mean": 100000, "left": 40, "ways": ["up"]}
                                                      each is cut after a random distance that way, so often; one
                                                      in four within the first 3000 bytes, either way
    {"kind": "refuse"}                                they are closed at once"""
import json
import multiprocessing
import os
import random
import re
import select
import socket
import struct
import time

PIECE = 256 * 1024
DRAIN_S = 2
RESET = struct.pack("ii", 1, 0)
REQUEST = re.compile(rb"GET [^ \r\n]*[?&]id=([0-9a-f]{64})")
SOCKET_GONE = (BrokenPipeError, ConnectionError, OSError)


class Way:
    """One direction of a link. Holds at most one piece, and reads no more until that is written."""

    def __init__(self, src, dst):
        self.src, self.dst = src, dst
        self.held = memoryview(b"")
        self.passed = 0
        self.cut_at = None
        self.swallows = self.ended = False


class Pair:
    def __init__(self, agent, gateway):
        self.up, self.down = Way(agent, gateway), Way(gateway, agent)
        self.container = None
        self.connected = self.hard = False
        self.dying_until = 0

    def sockets(self):
        return self.up.src, self.up.dst

    def way(self, name):
        return self.up if name == "up" else self.down


class Links:
    """The proxy's process."""

    def __init__(self, listener, target, control, seed):
        self.listener, self.target, self.control = listener, target, control
        self.rng = random.Random(seed)
        self.epoll = select.epoll()
        self.pairs = {}   # by descriptor: two keys each
        self.rules, self.counts = {}, {}
        for sock in (listener, control):
            sock.setblocking(False)
            self.epoll.register(sock.fileno(), select.EPOLLIN)

    def run(self):
        while True:
            for fd, events in self.epoll.poll(0.5):
                if fd == self.listener.fileno():
                    self.on_agent()
                elif fd == self.control.fileno():
                    self.on_command()
                elif fd in self.pairs:
                    self.on_event(self.pairs[fd], fd, events)
            now = time.monotonic()
            for pair in {p for p in self.pairs.values() if p.dying_until and now > p.dying_until}:
                self.close(pair)

    # ---- what we are told

    def on_command(self):
        peer, _ = self.control.accept()
        with peer, peer.makefile("rw") as file:
            peer.settimeout(5)
            request = json.loads(file.readline())
            answer = getattr(self, "do_" + request.pop("do"))(**request)
            file.write(json.dumps(answer) + "\n")

    def of(self, container):
        return {p for p in self.pairs.values() if p.container == container and not p.dying_until}

    def count(self, container):
        return self.counts.setdefault(container, {"links": 0, "cuts": 0, "up": 0, "down": 0})

    def do_rule(self, container, rule):
        self.rules[container] = rule
        return self.count(container)

    def do_cut(self, container, hard):
        pairs = self.of(container)
        for pair in pairs:
            self.cut(pair, hard)
        return len(pairs)

    def do_swallow(self, container, way):
        """The present links: what comes from now on in this direction goes nowhere, and nobody is told."""
        pairs = self.of(container)
        for pair in pairs:
            pair.way(way).swallows = True
        return len(pairs)

    # ---- links

    def on_agent(self):
        agent, _ = self.listener.accept()
        gateway = socket.socket()
        pair = Pair(agent, gateway)
        for sock in (agent, gateway):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pairs[sock.fileno()] = pair
        gateway.connect_ex(self.target)
        self.epoll.register(agent.fileno(), select.EPOLLIN)
        self.epoll.register(gateway.fileno(), select.EPOLLOUT)

    def close(self, pair):
        count = self.count(pair.container)
        count["up"] += pair.up.passed
        count["down"] += pair.down.passed
        for sock in pair.sockets():
            self.epoll.unregister(sock.fileno())
            del self.pairs[sock.fileno()]
            if pair.hard:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()

    def cut(self, pair, hard):
        """Hard: reset, and what the kernels hold is lost. Else each side reads what has passed, then the end."""
        self.count(pair.container)["cuts"] += 1
        pair.hard = hard
        if hard:
            self.close(pair)
            return
        pair.dying_until = time.monotonic() + DRAIN_S
        for sock in pair.sockets():
            try:
                sock.shutdown(socket.SHUT_WR)
            except SOCKET_GONE:
                pass
            self.epoll.modify(sock.fileno(), select.EPOLLIN)

    def on_event(self, pair, fd, events):
        agent, gateway = pair.sockets()
        try:
            if pair.dying_until:
                if not (agent if fd == agent.fileno() else gateway).recv(PIECE):
                    self.close(pair)
                return
            if fd == gateway.fileno() and not pair.connected:
                if gateway.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    self.close(pair)
                    return
                pair.connected = True
            for way in (pair.up, pair.down):
                if way.dst.fileno() == fd and way.held and events & select.EPOLLOUT:
                    self.write(way)
                if way.src.fileno() == fd and not way.held and events & (select.EPOLLIN | select.EPOLLHUP):
                    if not self.read(pair, way):
                        return
            self.after(pair)
        except BlockingIOError:
            pass
        except SOCKET_GONE:
            self.close(pair)

    def read(self, pair, way):
        """False: the pair is gone."""
        room = PIECE if way.cut_at is None else min(PIECE, way.cut_at - way.passed)
        data = way.src.recv(room) if room else b""
        if not data:
            way.ended = True
            return True
        if pair.container is None and way is pair.up:
            self.greet(pair, data)
            if pair.up.cut_at is not None and pair.up.cut_at < len(data):
                data = data[:pair.up.cut_at]
            if self.rules.get(pair.container, {}) and self.rules[pair.container]["kind"] == "refuse":
                self.close(pair)
                return False
        way.passed += len(data)
        if not way.swallows:
            way.held = memoryview(data)
            if way is pair.down or pair.connected:
                self.write(way)
        return True

    def greet(self, pair, data):
        """The first bytes of a link name its container; its rule says when it will be cut."""
        match = REQUEST.match(data)
        pair.container = match[1].decode() if match else ""
        self.count(pair.container)["links"] += 1
        rule = self.rules.get(pair.container)
        if not rule:
            return
        if rule["kind"] == "exact":
            self.rules[pair.container] = None
            pair.way(rule["way"]).cut_at = rule["at"]
            pair.hard = rule["hard"]
        elif rule["kind"] == "random" and rule["left"] > 0:
            rule["left"] -= 1
            if self.rng.random() < 0.25:
                pair.way(self.rng.choice(("up", "down"))).cut_at = self.rng.randrange(3000)
            else:
                pair.way(self.rng.choice(rule["ways"])).cut_at = int(self.rng.expovariate(1 / rule["mean"]))
            pair.hard = self.rng.random() < 0.5

    @staticmethod
    def write(way):
        try:
            way.held = way.held[way.dst.send(way.held):]
        except BlockingIOError:
            pass

    def after(self, pair):
        """What the byte that has just passed means, and what to wait for now."""
        for way in (pair.up, pair.down):
            if way.cut_at is not None and way.passed >= way.cut_at and not way.held and pair.connected:
                self.cut(pair, pair.hard)
                return
            if way.ended and not way.held:
                self.close(pair)
                return
        for sock in pair.sockets():
            events = 0
            for way in (pair.up, pair.down):
                if way.src is sock and not way.held:
                    events |= select.EPOLLIN
                if way.dst is sock and way.held:
                    events |= select.EPOLLOUT
            if sock is pair.up.dst and not pair.connected:
                events = select.EPOLLOUT
            self.epoll.modify(sock.fileno(), events)


class Proxy:
    """What the others see of it. May be used from any process and thread."""

    def __init__(self, address, target, path, seed):
        self.path = path
        listener = socket.create_server(address, backlog=512)
        self.port = listener.getsockname()[1]
        control = socket.socket(socket.AF_UNIX)
        control.bind(path)
        control.listen(64)
        self.process = multiprocessing.get_context("fork").Process(
            target=lambda: Links(listener, target, control, seed).run(), daemon=True)
        self.process.start()
        listener.close()
        control.close()

    def stop(self):
        self.process.kill()
        self.process.join()

    def ask(self, do, container, **more):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(self.path)
            with sock.makefile("rw") as file:
                file.write(json.dumps({"do": do, "container": container, **more}) + "\n")
                file.flush()
                return json.loads(file.readline())

    def rule(self, container, rule=None):
        """Sets it. Returns what has been counted of this container's links so far."""
        return self.ask("rule", container, rule=rule)

    def cut(self, container, hard=False):
        return self.ask("cut", container, hard=hard)

    def swallow(self, container, way):
        return self.ask("swallow", container, way=way)
