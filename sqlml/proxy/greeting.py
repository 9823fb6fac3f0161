"""
What a client sends before its session: requests for encryption, then one packet.

Pure: bytes in, the next step out. Who connects and who encrypts is the session's matter.
"""

from dataclasses import dataclass
from enum import Enum, auto

from sqlml.errors import EncryptionRequired, ProtocolViolation
from sqlml.proxy.tls import ClientEncryption
from sqlml.wire.messages import Frontend, frame
from sqlml.wire.startup import TLS_HANDSHAKE, RequestCode, StartupPacket, read_startup

# A client that is ended before it is connected may send this message alone. Four bytes decide, as
# they cannot be the length of a packet.
_GOODBYE = frame(Frontend.TERMINATE, b"")[:4]


class Step(Enum):
    """What is to be done next."""

    WAIT = auto()
    DECLINE = auto()
    ENCRYPT = auto()
    ENCRYPT_DIRECTLY = auto()  # the bytes so far belong to the handshake
    CLOSE = auto()
    START = auto()


@dataclass(frozen=True, slots=True)
class Progress:
    """A step, with the packet that starts the session or the bytes of the handshake."""

    step: Step
    packet: StartupPacket | None = None
    data: bytes = b""


class Greeting:
    """The packets of one client up to the one that starts its session."""

    def __init__(self, encryption: ClientEncryption, declined: tuple[int, ...] = ()):
        self._encryption = encryption
        self._declined = set(declined)
        self._pending = b""
        self._is_encrypted = False
        self.is_direct = False
        """Whether the client began with TLS and did not ask first."""

    def read(self, data: bytes) -> Progress:
        """Take bytes, return the next step; ProtocolViolation or EncryptionRequired refuse."""
        self._pending += data
        if not self._pending:
            return Progress(Step.WAIT)
        if self._pending[0] == TLS_HANDSHAKE and not self._is_encrypted and not self._declined:
            return self._encrypt_directly()
        if self._pending.startswith(_GOODBYE):
            return Progress(Step.CLOSE)
        packet = read_startup(self._pending)
        if packet is None:
            return Progress(Step.WAIT)
        self._pending = b""
        if packet.code in (RequestCode.SSL, RequestCode.GSSENC):
            return self._answer_request(packet)
        # An old libpq cancels without encryption even where its session has it.
        is_plain = not self._is_encrypted and packet.code != RequestCode.CANCEL
        if is_plain and self._encryption is ClientEncryption.REQUIRE:
            raise EncryptionRequired(
                "this proxy takes encrypted connections only",
                hint="Connect with sslmode=require or stronger.",
            )
        return Progress(Step.START, packet)

    def _answer_request(self, packet: StartupPacket) -> Progress:
        if packet.rest:
            # Someone in between may have put them there: CVE-2021-23214.
            raise ProtocolViolation("received unencrypted data after an encryption request")
        if self._is_encrypted:
            raise ProtocolViolation("encryption was requested inside TLS")
        if packet.code in self._declined:
            raise ProtocolViolation("encryption was already declined")
        if packet.code == RequestCode.SSL and self._encryption is not ClientEncryption.DISABLE:
            self._is_encrypted = True
            return Progress(Step.ENCRYPT)
        self._declined.add(packet.code)
        return Progress(Step.DECLINE)

    def _encrypt_directly(self) -> Progress:
        if self._encryption is ClientEncryption.DISABLE:
            return Progress(Step.CLOSE)
        self._is_encrypted = self.is_direct = True
        data, self._pending = self._pending, b""
        return Progress(Step.ENCRYPT_DIRECTLY, data=data)
