"""Asks the cluster's DNS for a Service's address, as a pod's resolver would."""

import secrets
import socket
import struct

# Through the Service, so that the answer came by way of the node's proxy.
DNS = ("10.96.0.10", 53)


def address_of(name: str) -> str:
    """The IPv4 address of a full name."""
    number = secrets.randbelow(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    # One question with recursion desired, for type A of class IN.
    query = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">x2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(5)
        connection.sendto(query, DNS)
        reply = connection.recv(4096)
    answered, flags, _, answers = struct.unpack(">4H", reply[:8])
    assert answered == number, "an answer to another question"
    assert flags & 0xF == 0 and answers == 1, f"{name}: code {flags & 0xF}, {answers} answers"
    record = reply[len(query) :]
    record = record[_length_of_name(record) :]
    kind, _, length = struct.unpack(">2H4xH", record[:10])
    assert (kind, length) == (1, 4), f"{name}: a record of type {kind} and {length} bytes"
    return socket.inet_ntoa(record[10:14])


def _length_of_name(record: bytes) -> int:
    """Names are written out up to an empty label, or are a pointer of two bytes to where they stand already."""
    if record[0] >= 0xC0:
        return 2
    return record.index(0) + 1
