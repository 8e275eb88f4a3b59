"""The bank's exchange rates."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Bank(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.006)
        rates = {"USD": b"0.92", "GBP": b"1.17", "SEK": b"0.088"}
        body = rates.get(self.path.strip("/"), b"1")
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bank).serve_forever()
