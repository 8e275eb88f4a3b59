"""The warehouse; shelves whose number is 13 modulo 100 belong to a machine that hangs."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANGS_S = 20


class Warehouse(BaseHTTPRequestHandler):
    def do_GET(self):
        shelf = int(self.path.rpartition("/")[2])
        time.sleep(HANGS_S if shelf % 100 == 13 else 0.003)
        try:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(str(shelf % 50).encode())
        except OSError:
            pass

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Warehouse)
    server.daemon_threads = True
    server.serve_forever()
