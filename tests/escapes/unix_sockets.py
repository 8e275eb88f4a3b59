# mypy: ignore-errors
import socket

from _proof import CFG, OUTSIDE, attempt


def connect(kind, address):
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.connect(address)
        sock.send(b"escaped")
        return address


def from_pair(address):
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        return one.sendto(b"escaped", address)


def reconnected(kind, address):
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    with one, other:
        one.connect(address)
        return one.send(b"escaped")


attempt(
    abstract_stream=lambda: connect(socket.SOCK_STREAM, "\0" + CFG["abstract"]),
    path_stream=lambda: connect(socket.SOCK_STREAM, OUTSIDE + "/stream"),
    path_datagram=lambda: connect(socket.SOCK_DGRAM, OUTSIDE + "/datagram"),
    pair_datagram=lambda: from_pair(OUTSIDE + "/datagram"),
    pair_reconnected=lambda: reconnected(socket.SOCK_DGRAM, OUTSIDE + "/datagram"),
    pair_stream=lambda: reconnected(socket.SOCK_STREAM, OUTSIDE + "/stream"),
    docker=lambda: connect(socket.SOCK_STREAM, "/var/run/docker.sock"),
    bus=lambda: connect(socket.SOCK_STREAM, "/run/dbus/system_bus_socket"),
)
