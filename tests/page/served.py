"""The program as a process, with the model that is built in."""

import contextlib
import http.client
import http.server
import os
import subprocess
import threading

BOUNDARY = "tests-boundary"


@contextlib.contextmanager
def served(*flags, http="127.0.0.1:0", uri="tcp://127.0.0.1:0"):
    """A server with these flags; where it serves HTTP."""
    command = [os.environ["binary"], "serve", "--uri", uri, "--admin", "off", "--http", http, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            line = next((line for line in process.stdout if line.startswith("ready: ")), None)
            assert line, "the server ended before it was ready"
            yield line.split("http http://")[1].split(",")[0]
        finally:
            process.kill()


@contextlib.contextmanager
def proxied(address, path):
    """A proxy that serves it under a path, as Home Assistant's ingress does; where."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def forward(self):
            assert self.path.startswith(path), self.path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            server = http.client.HTTPConnection(address)
            server.request(self.command, "/" + self.path.removeprefix(path), body, dict(self.headers))
            answer = server.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name not in ("transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.read())
            server.close()

        do_GET = do_POST = forward

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        yield "127.0.0.1:%d%s" % (proxy.server_port, path.rstrip("/"))
        proxy.shutdown()


@contextlib.contextmanager
def occupied(address, sound, times):
    """So many requests run or wait until the block ends."""
    form = (
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
        + sound
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    connections = [http.client.HTTPConnection(address) for _ in range(times)]

    def ask(connection):
        connection.request("POST", "/v1/audio/transcriptions", form, {"content-type": f"multipart/form-data; boundary={BOUNDARY}"})

    threads = [threading.Thread(target=ask, args=(connection,)) for connection in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        yield
    finally:
        # A client that goes away takes its request along.
        for connection in connections:
            connection.close()
