"""A TCP proxy that does to a connection what networks and overloaded servers do.

    proxy = HttpProxy(target_port, seed=7).start()     # or StreamProxy, for WebSockets
    proxy.trouble = 0.3                                 # 30 % of requests (or connections) suffer
    proxy.faults                                        # how many of each kind so far

HttpProxy reads whole requests and answers, so that it can fail a request before it was passed on,
or after: then the server has done what was asked and the asker cannot know (the ambiguous result).
StreamProxy knows bytes only: it delays, stalls, splits and cuts.

One thread with an asyncio loop each. Random choices come from the seed; which request meets which
choice depends on the real processes' timing.
"""

import asyncio
import collections
import random
import threading

STALL_SECONDS = 30  # longer than any client of ours waits


class Proxy:
    KINDS = {}  # name -> weight

    def __init__(self, target_port, seed):
        self.target_port, self.rng = target_port, random.Random(seed)
        self.port = None
        self.trouble = 0.0  # the share that suffers; set from any thread
        self.faults = collections.Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self):
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1024), self._loop)
        self._server = listening.result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def stop(self):
        async def end():
            self._server.close()
            tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def draw(self):
        """The fault for the next request or connection; counted when it is done to it."""
        if self.rng.random() >= self.trouble:
            return None
        return self.rng.choices(list(self.KINDS), list(self.KINDS.values()))[0]

    async def _accept(self, reader, writer):
        server = None
        try:
            server = await asyncio.open_connection("127.0.0.1", self.target_port)
            await self.serve(Peer(reader, writer), Peer(*server))
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side went away, or the server is down: so does the other side
        finally:
            for end in (writer, server and server[1]):
                if end:
                    end.transport.abort()


class Peer:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def read_head(self):
        return await self.reader.readuntil(b"\r\n\r\n")


def headers_of(head):
    lines = head.decode("latin1").split("\r\n")[1:]
    return {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines) if k}


PAGE = b"<!DOCTYPE html><html><body>We will be back soon</body></html>"
EXCUSE = b"<Error><Code>InternalError</Code><Message>by the proxy</Message></Error>"


def http(status, body=b"", *headers, length=None):
    """An answer, byte for byte; `length` is what its head says of its body."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# What has been answered in place of an S3 server, by servers themselves and by what stands before
# them. Each is a fault of HttpProxy twice: after the request was carried out, and without.
ODD_ANSWERS = {
    "long 500": http("500 Oops", b"at line 1\n" * (2 << 20)),  # 20 MiB: longer than anybody listens
    "page 502": http("502 Bad Gateway", PAGE, "Content-Type: text/html"),
    "empty 503": http("503 Busy"),
    "error in 200": http("200 OK", EXCUSE, "Content-Type: application/xml"),
    "page 200": http("200 OK", PAGE, "Content-Type: text/html; charset=utf-8"),
    "silent 204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "page 404": http("404 Not Found", PAGE, "Content-Type: text/html"),
    "page 412": http("412 Precondition Failed", PAGE, "Content-Type: text/html"),
    "empty 409": http("409 Conflict"),
    "redirect": http("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/elsewhere"),
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    "short body": http("500 Oops", EXCUSE, length=len(EXCUSE) + 1000),
    "long body": http("500 Oops", EXCUSE + b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\n",
                      length=len(EXCUSE)),
    "endless chunks": b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "garbage": b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
    "skewed clock": http("403 Forbidden", b"<Error><Code>RequestTimeTooSkewed</Code></Error>"),
}


class HttpProxy(Proxy):
    """Between the parent and an S3 server."""

    ODD = {f"{name}, {when}": 1 for name in ODD_ANSWERS for when in ("carried out", "not carried out")}
    KINDS = {**ODD, "trickle": 1, "delay": 6, "500 before": 2, "503 before": 4, "cut before": 2, "cut in request": 3,
             "timeout before": 1, "500 after": 4, "503 after": 3, "cut after": 4, "timeout after": 1,
             "truncated answer": 4, "cut in head": 2, "403 before": 1, "sent twice": 3,
             "slow answer": 2, "forgotten": 2}

    def __init__(self, target_port, seed):
        super().__init__(target_port, seed)
        self.drops = set()  # names of headers that do not get through; set from any thread

    async def serve(self, client, server):
        while True:
            request = await self.read_request(client)
            fault = self.draw()
            if fault:
                self.faults[fault] += 1
            if not await self.exchange(client, server, request, fault):
                return

    async def exchange(self, client, server, request, fault):
        """One request and its answer. False: the connection ends here."""
        if fault == "delay":
            await asyncio.sleep(self.rng.random() * 0.7)
        elif fault in ("500 before", "503 before", "403 before"):
            await client.send(self.excuse(fault))
            return False
        elif fault == "cut before":
            return False
        elif fault == "timeout before":
            await asyncio.sleep(STALL_SECONDS)
            return False
        elif fault == "cut in request":
            await server.send(request[:self.rng.randrange(len(request))])
            return False
        odd, _, when = (fault or "").partition(", ")
        if odd in ODD_ANSWERS:
            if when == "carried out":
                await server.send(request)
                await self.read_answer(server, head_only=request.startswith(b"HEAD "))
            await client.send(ODD_ANSWERS[odd])
            return False
        if fault == "forgotten":  # carried out in its own good time, long after the asker gave up
            await asyncio.sleep(2.5)
        await server.send(request)
        if fault == "sent twice":  # as a middlebox does that tries again by itself
            await self.read_answer(server, head_only=request.startswith(b"HEAD "))
            await server.send(request)
        answer = await self.read_answer(server, head_only=request.startswith(b"HEAD "))
        if fault in ("500 after", "503 after"):
            await client.send(self.excuse(fault))
            return False
        if fault == "cut after":
            return False
        if fault == "timeout after":
            await asyncio.sleep(STALL_SECONDS)
            return False
        if fault in ("truncated answer", "cut in head"):
            head = answer.index(b"\r\n\r\n") + 4
            low, high = (1, head) if fault == "cut in head" else (head, len(answer))
            await client.send(answer[:self.rng.randrange(low, max(high, low + 1))])
            return False
        if fault == "trickle":  # always something, never all of it in time
            for at in range(len(answer)):
                await client.send(answer[at:at + 1])
                await asyncio.sleep(0.05)
            return True
        if fault == "slow answer":
            step = max(len(answer) // 20, 1)
            for at in range(0, len(answer), step):
                await client.send(answer[at:at + step])
                await asyncio.sleep(0.05)
            return True
        await client.send(answer)
        return True

    def excuse(self, fault):
        code = int(fault[:3])
        words = {500: "InternalError", 503: "SlowDown", 403: "AccessDenied"}[code]
        body = f"<Error><Code>{words}</Code><Message>by the proxy</Message></Error>".encode()
        return (f"HTTP/1.1 {code} {words}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body

    async def read_request(self, client):
        head = await client.read_head()
        headers = headers_of(head)
        if headers.get("expect", "").lower() == "100-continue":
            await client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            at = head.lower().index(b"\r\nexpect:")
            head = head[:at] + head[head.index(b"\r\n", at + 2):]
        for name in self.drops:
            if (at := head.lower().find(b"\r\n" + name.encode() + b":")) >= 0:
                head = head[:at] + head[head.index(b"\r\n", at + 2):]
        return head + await client.reader.readexactly(int(headers.get("content-length", 0)))

    async def read_answer(self, server, head_only):
        head = await server.read_head()
        headers = headers_of(head)
        if head_only or head.split(b" ")[1] in (b"204", b"304"):
            return head
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return head + await server.reader.readexactly(int(headers.get("content-length", 0)))
        answer = head
        while True:
            size = await server.reader.readuntil(b"\r\n")
            n = int(size.split(b";")[0], 16)
            answer += size + await server.reader.readexactly(n + 2)
            if n == 0:
                return answer


class StreamProxy(Proxy):
    """Between edges and their parent."""

    KINDS = {"refused": 2, "busy": 2, "cut": 8, "cut in answer": 5, "stall": 3, "slow": 4, "split": 3}

    async def serve(self, client, server):
        fault = self.draw()
        if fault:
            self.faults[fault] += 1
        if fault == "refused":
            return
        if fault == "busy":
            await client.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            return
        up, down = fault, None
        if fault == "cut in answer":
            up, down = None, "cut"
        elif fault in ("slow", "split", "stall"):
            down = fault
        pumps = [asyncio.ensure_future(self.pump(client.reader, server, up)),
                 asyncio.ensure_future(self.pump(server.reader, client, down))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def pump(self, reader, to, fault):
        """Until the end of the stream, or of the connection's luck: after some bytes a cut one ends
        within a message, a stalled one delivers nothing for a while and then ends."""
        left = self.rng.choice([200, 2_000, 20_000, 200_000]) * self.rng.random()
        while data := await reader.read(1 << 16):
            if fault == "slow":
                await asyncio.sleep(self.rng.random() * 0.05)
            elif fault == "split":
                for at in range(0, min(len(data), 406), 7):
                    await to.send(data[at:at + 7])
                    await asyncio.sleep(0)
                data = data[406:]
            elif fault in ("cut", "stall") and (left := left - len(data)) < 0:
                if fault == "stall":
                    await asyncio.sleep(0.5 + self.rng.random() * 2)
                    return
                await to.send(data[:int(left)])
                await asyncio.sleep(0.01)  # what was sent arrives before the end does
                return
            await to.send(data)
