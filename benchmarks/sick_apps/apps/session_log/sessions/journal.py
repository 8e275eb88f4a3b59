import os
import socket
import tempfile

FOLDER = tempfile.mkdtemp(prefix="sessions-")


def probe(port=9):
    """A datagram tells the collector that a session began; nobody answers it."""
    beacon = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    beacon.setblocking(False)
    try:
        beacon.sendto(b"session", ("127.0.0.1", port))
    except OSError:
        return False
    return True


def write(session, lines):
    fd = os.open(os.path.join(FOLDER, f"{session % 50}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    written = 0
    for line in lines:
        written += os.write(fd, f"{session} {line}\n".encode())
    return written
