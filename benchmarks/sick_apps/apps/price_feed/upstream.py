"""The exchange; its overflow machines drop a good part of their connections."""

import random
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Exchange(BaseHTTPRequestHandler):
    def do_GET(self):
        if "overflow" in self.path and random.random() < 0.3:
            self.close_connection = True
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"101.5")

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Exchange).serve_forever()
