"""The product catalogue: one product by /p/ID, many by /many?ids=1,2."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Catalogue(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.008)
        if self.path.startswith("/many?ids="):
            ids = self.path.partition("=")[2].split(",")
            answer = {i: {"id": int(i), "title": f"Product {i}", "price": int(i) % 97} for i in ids if i}
        else:
            i = int(self.path.rpartition("/")[2])
            answer = {"id": i, "title": f"Product {i}", "price": i % 97}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Catalogue).serve_forever()
