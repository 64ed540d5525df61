#!/usr/bin/python3
"""A server on loopback that speaks the OpenAI-compatible protocol, well or badly, as the name of the model says.

usage: server.py PORTS LOG
  PORTS  gets one line "PORT OTHER" once both listen: OTHER is a second "host" that redirects lead to
  LOG    gets one JSON line for each request: server, method, path, headers, body, time

Chat, by model:
  ok           "echo: " and the last message; finish_reason stop; 7 tokens in, 3 out
  order        the same; waits a tenth of a second for each "." at the end of the message
  null, parts, plain      content null; content as a list of parts; no finish_reason and no usage
  busy-S-K     status S for the first K requests with that message, then ok
  after-X-K    status 429 with Retry-After X ("date": in 2 seconds) K times, then ok
  status-S     status S always; the error repeats the request's Authorization
  picky        "fail-S" in the message gives status S, "once-S" only the first time
  together-N   answers once N requests wait for an answer, or says 500 after ten seconds
  tokens       status 400 that names max_completion_tokens while max_tokens is sent
  redirect-S, here-S, file-S      status S to the other server, to another path of this one, to a file: URL
  drop-K       closes the connection without a byte K times, then ok
  hang         never answers; drip: one byte every tenth of a second
  html, broken, empty, cut, nothing, error       status 200 and something else than an answer
  sse-...      event streams: see STREAMS; sse-drop loses the connection in the middle
Embeddings of a text, [bytes, number of a's, 1], by model: ok, shuffled, unnumbered, base64, count, length, twice, nan,
  null, empty.
Models, by the path before /v1/models: one model "ok"; /two two of them; /many many; /none none; /old status 404.
"""
import base64
import json
import os
import struct
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

lock = threading.Lock()
company = threading.Condition()
seen = {}
log = None


def delta(**d):
    return {"choices": [{"index": 0, "delta": d, "finish_reason": None}]}


def data(event):
    return "data: " + (event if isinstance(event, str) else json.dumps(event)) + "\n\n"


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
WORDS = [delta(role="assistant", content=""), delta(content="Grün"), delta(content=" and"), delta(content=" gold."), END]
STREAMS = {
    "sse-ok": [data(w) for w in WORDS + [USAGE, "[DONE]"]],
    "sse-crlf": [data(w).replace("\n", "\r\n") for w in WORDS + ["[DONE]"]],
    "sse-cr": [data(w).replace("\n", "\r") for w in WORDS + ["[DONE]"]],
    "sse-comments": [": hello\n\n", "event: message\nid: 4\nretry: 10\n"] + [": ping\n" + data(w) for w in WORDS + ["[DONE]"]],
    "sse-tight": [data(w).replace("data: ", "data:") for w in WORDS] + ["data:[DONE]\n"],
    "sse-lines": ["data: {\"choices\": [\ndata: {\"delta\": {\"content\": \"Two lines.\"}}]}\n\n", data("[DONE]")],
    "sse-null": [data(delta(content=None)), data(END), data("[DONE]")],
    "sse-late": [data(w) for w in WORDS + ["[DONE]"]] + [data({"error": {"message": "after the end"}})],
    "sse-error": [data(w) for w in WORDS[:3]] + [data({"error": {"message": "the model fell over"}})],
    "sse-error-first": [data({"error": {"message": "out of memory"}})],
    "sse-broken": [data(WORDS[1]), data("{\"choices\": [")],
    "sse-cut": [data(w) for w in WORDS],
    "sse-drop": [data(w) for w in WORDS[:3]],
    "sse-cut-line": [data(w) for w in WORDS] + ["data: [DO"],
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body, headers=(), length=None, kind="application/json"):
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.close_connection = True

    def error(self, status, message, headers=()):
        self.reply(status, {"error": {"message": message, "type": "test"}}, headers)

    def record(self, body):
        with lock:
            log.write(json.dumps({"server": self.server.name, "method": self.command, "path": self.path,
                                  "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body,
                                  "time": time.monotonic()}) + "\n")
            log.flush()

    def do_GET(self):
        self.record(None)
        lists = {"/two": ["small", "large"], "/many": ["model-%d" % i for i in range(200)], "/none": []}
        front = self.path.split("/v1/")[0]
        if not self.path.endswith("/v1/models") or front == "/old":
            return self.error(404, "no such page")
        self.reply(200, {"object": "list", "data": [{"id": m} for m in lists.get(front, ["ok"])]})

    def do_POST(self):
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            body = json.loads(text)
        except ValueError:
            self.record(text.decode("latin-1"))
            return self.error(400, "not JSON")
        self.record(body)
        model = body.get("model", "ok")
        if self.path.endswith("/v1/embeddings"):
            return self.embeddings(model, body)
        if not self.path.endswith("/v1/chat/completions"):
            return self.error(404, "no such page: " + self.path)
        message = body["messages"][-1]["content"]
        if model.startswith("sse-") and model in STREAMS:
            return self.stream(STREAMS[model], model)
        with lock:
            seen[model, message] = seen.get((model, message), 0) + 1
            n = seen[model, message]
        self.chat(model.split("-"), message, n, body)

    def ok(self, content, **more):
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        answer = {"id": "x", "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}
        choice.update(more)
        self.reply(200, answer)

    def chat(self, how, message, n, body):
        echo = "echo: " + message
        other = "http://127.0.0.1:%d" % self.server.other
        if how[0] == "busy" and n <= int(how[2]):
            return self.error(int(how[1]), "busy, try number %d" % n)
        if how[0] == "after" and n <= int(how[2]):
            value = formatdate(time.time() + 2, usegmt=True) if how[1] == "date" else how[1]
            return self.error(429, "slow down", [("Retry-After", value)])
        if how[0] == "status":
            return self.error(int(how[1]), "no entry for %s\nor anybody" % self.headers.get("Authorization", "nobody"))
        if how[0] == "picky":
            for word in message.split():
                if word.startswith("fail-") or (word.startswith("once-") and n == 1):
                    return self.error(int(word[5:]), "cannot answer " + message)
        if how[0] == "together" and not self.together(int(how[1])):
            return self.error(500, "nobody else came")
        if how[0] == "tokens" and "max_tokens" in body:
            return self.error(400, "Unsupported parameter: use 'max_completion_tokens' instead of 'max_tokens'.")
        if how[0] == "redirect" and self.server.name == "main":
            return self.reply(int(how[1]), "", [("Location", other + self.path)])
        if how[0] == "here" and not self.path.startswith("/there/"):
            return self.reply(int(how[1]), "", [("Location", "/there" + self.path)])
        if how[0] == "file":
            return self.reply(int(how[1]), "", [("Location", "file:///etc/passwd")])
        if how[0] == "drop" and n <= int(how[1]):
            self.close_connection = True
            return None
        if how[0] == "hang":
            time.sleep(20)
            self.close_connection = True
            return None
        if how[0] == "drip":
            return self.drip()
        if how[0] == "order":
            time.sleep(.1 * (len(message) - len(message.rstrip("."))))
        odd = {"html": "<html><body>Welcome</body></html>", "broken": '{"choices": [{"message": ', "empty": "",
               "nothing": {"choices": []}, "error": {"error": {"message": "the model fell over", "code": 500}}}
        if how[0] in odd:
            return self.reply(200, odd[how[0]], kind="text/html" if how[0] == "html" else "application/json")
        if how[0] == "cut":
            return self.reply(200, '{"choices": [{"message": {"content": "half an', length=500)
        if how[0] == "null":
            return self.ok(None, finish_reason="length")
        if how[0] == "parts":
            return self.ok([{"type": "text", "text": "one, "}, {"type": "text", "text": "two"}])
        if how[0] == "plain":
            return self.reply(200, {"choices": [{"message": {"content": echo}}]})
        return self.ok(echo)

    def together(self, n):
        with company:
            seen["waiting"] = seen.get("waiting", 0) + 1
            company.notify_all()
            return company.wait_for(lambda: seen["waiting"] >= n, 10)

    def drip(self):
        try:
            self.reply(200, " ", length=500)
            for _ in range(100):
                time.sleep(.1)
                self.wfile.write(b" ")
        except OSError:
            pass

    def stream(self, pieces, model):
        """In chunks of seven bytes, so that lines, characters and JSON are cut wherever it hurts."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        text = "".join(pieces).encode()
        try:
            for i in range(0, len(text), 7):
                piece = text[i:i + 7]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.flush()
            if model == "sse-drop":
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def embeddings(self, how, body):
        texts = body["input"]
        vectors = [[float(len(t.encode())), float(t.count("a")), 1.0] for t in texts]
        if how == "length" and len(vectors) > 1:
            vectors[-1] = vectors[-1][:2]
        if how == "null":
            vectors[-1][0] = None
        if how == "nan":
            vectors[-1][0] = float("nan")
        if how == "empty":
            vectors = [[] for _ in vectors]
        if how in ("base64", "nan"):
            vectors = [base64.b64encode(struct.pack("<%df" % len(v), *v)).decode() for v in vectors]
        items = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        if how == "shuffled":
            items = items[1::2] + items[0::2][::-1]
        if how == "count":
            items = items[:-1]
        if how == "twice":
            items[-1]["index"] = 0
        if how == "unnumbered":
            for item in items:
                del item["index"]
        self.reply(200, {"object": "list", "data": items, "model": how})


def end_with(parent):
    """A test that is killed leaves no server behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def main():
    global log
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    log = open(sys.argv[2], "a", encoding="utf-8")
    servers = []
    for name in ("main", "other"):
        s = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        s.daemon_threads = True
        s.name = name
        servers.append(s)
    servers[0].other, servers[1].other = servers[1].server_port, servers[0].server_port
    threading.Thread(target=servers[1].serve_forever, daemon=True).start()
    with open(sys.argv[1] + ".new", "w", encoding="utf-8") as f:
        print(servers[0].server_port, servers[1].server_port, file=f)
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    servers[0].serve_forever()


main()
