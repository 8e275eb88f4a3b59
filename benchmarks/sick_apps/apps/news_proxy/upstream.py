"""News feeds; archived ones are slower."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Feed(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "archive" in self.path:
            time.sleep(0.026)
        body = b'{"titles": ["One", "Two", "Three"]}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Feed).serve_forever()
