"""A name server on loopback that answers as a test says, over UDP and TCP, from threads of its own.

Only the messages are dnspython's; what is sent, and whether, is decided here. ``zone[name, kind]`` is an `Answer`. A
name that has none of any kind does not exist.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

MAX_PAYLOAD = 65_535
CLASSIC_UDP_SIZE = 512


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about a name and a kind of record."""

    records: Sequence[str] = ()
    alias_of: str | None = None
    """The records are those of this name, to which the name is an alias."""
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    silent: bool = False
    garbage: bytes | None = None
    """These bytes instead of a message."""
    wrong_id: bool = False
    truncated: bool = False
    """Over UDP: cut short, even if there were room."""
    silent_over_tcp: bool = False


class DnsServer:
    """Listens on a free port of 127.0.0.1 until closed."""

    def __init__(self, zone: dict[tuple[str, str], Answer] | None = None) -> None:
        self.zone = zone or {}
        self.asked: list[tuple[str, str, str]] = []
        """Name, kind of record, and ``udp`` or ``tcp``, in the order of the questions."""
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    @property
    def target(self) -> str:
        """What ``dnsserver`` wants."""
        return f"127.0.0.1:{self.port}"

    def add(self, name: str, *addresses: str) -> None:
        """Answer for ``name`` with these, each under its kind."""
        for kind, is_kind in (("A", False), ("AAAA", True)):
            records = [address for address in addresses if (":" in address) is is_kind]
            self.zone[name, kind] = Answer(records)

    def questions(self, name: str) -> list[tuple[str, str]]:
        """Kind and transport of each question for ``name``."""
        return [(kind, transport) for asked, kind, transport in self.asked if asked == name]

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"", ("127.0.0.1", self.port))
        with contextlib.suppress(OSError):
            self._tcp.shutdown(socket.SHUT_RDWR)
        self._tcp.close()
        for thread in self._threads:
            thread.join(5)
        self._udp.close()

    def __enter__(self) -> "DnsServer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- transports ----------------------------------------------------------------------------------------------

    def _serve_udp(self) -> None:
        while True:
            data, client = self._udp.recvfrom(MAX_PAYLOAD)
            if not data:
                return
            reply = self._reply(data, "udp")
            if reply is not None:
                self._udp.sendto(reply, client)

    def _serve_tcp(self) -> None:
        held = []  # connections that get no answer stay open
        while True:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                break
            with contextlib.suppress(OSError), client.makefile("rb") as stream:
                data = stream.read(int.from_bytes(stream.read(2), "big"))
                reply = self._reply(data, "tcp")
                if reply is None:
                    held.append(client)
                    continue
                client.sendall(struct.pack(">H", len(reply)) + reply)
            client.close()
        for client in held:
            client.close()

    def _reply(self, data: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        answer = self.zone.get((name, kind))
        if answer is None:
            exists = any(known == name for known, _ in self.zone)
            answer = Answer(rcode=dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
        if answer.silent or (answer.silent_over_tcp and transport == "tcp"):
            return None
        if answer.garbage is not None:
            return answer.garbage
        return self._message(query, answer, name, kind, transport)

    def _message(self, query: dns.message.Message, answer: Answer, name: str, kind: str, transport: str) -> bytes:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        reply.set_rcode(answer.rcode)
        if answer.wrong_id:
            reply.id ^= 1
        if answer.alias_of is not None:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{answer.alias_of}."))
        if answer.records:
            owner = answer.alias_of or name
            reply.answer.append(dns.rrset.from_text_list(f"{owner}.", 60, "IN", kind, list(answer.records)))
        wire = reply.to_wire(max_size=MAX_PAYLOAD)
        room = MAX_PAYLOAD if transport == "tcp" else max(query.payload, CLASSIC_UDP_SIZE)
        if len(wire) > room or (answer.truncated and transport == "udp"):
            reply.flags |= dns.flags.TC
            reply.answer.clear()
            wire = reply.to_wire()
        return wire
