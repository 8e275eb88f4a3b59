# mypy: ignore-errors
import socket

from _proof import CFG, attempt


def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"escaped", address)
        sock.settimeout(0.5)
        return sock.recv(16)


def connected(address):
    with socket.create_connection(address, 1):
        return address


attempt(
    udp=lambda: send(socket.AF_INET, ("127.0.0.1", CFG["udp_port"])),
    tcp=lambda: connected(("127.0.0.1", CFG["tcp_port"])),
    tcp6=lambda: connected(("::ffff:127.0.0.1", CFG["tcp_port"])),
    packet=lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300),
    icmp=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    vsock=lambda: socket.socket(40, socket.SOCK_STREAM),
    crypto=lambda: socket.socket(38, socket.SOCK_SEQPACKET),
)
