"""
One direction of a session: frames out of a stream of bytes, and what becomes of each.

Can be paused at a frame, which is then given again, and can drop what comes up to a frame. Does
not know what a frame means.
"""

import logging
from collections.abc import Callable, Iterator

from sqlml.errors import ProtocolViolation
from sqlml.wire.frames import Frame, FrameReader

log = logging.getLogger(__name__)

Action = Callable[[Frame], bytes | None]
"""Frame → the bytes to send for it; None: it asked for more of the frame, or for a pause."""


class Direction:
    """Bytes of one side → bytes for the other, by actions for the codes that matter."""

    def __init__(self, wanted: dict[int, tuple[int, Action]]):
        """Look at this many bytes of each such frame."""
        self._sizes = {code: size for code, (size, _) in wanted.items()}
        self._actions = {code: action for code, (_, action) in wanted.items()}
        self._for_all: Action | None = None
        self._reader = FrameReader(self._sizes)
        self._items: Iterator[Frame | bytes] = iter(())
        self._paused_at: Frame | None = None
        self._waiting: list[bytes] = []
        self._is_dropping = False
        self._is_broken = False

    @property
    def is_still(self) -> bool:
        """Whether all bytes were forwarded and a frame that will be looked at begins next."""
        is_paused = self._paused_at is not None
        is_other = is_paused or self._is_dropping or self._is_broken
        return not is_other and self._reader.is_between_frames

    def forward(self, data: bytes) -> bytes:
        """Return what becomes of these bytes, as far as they can go now."""
        if self._paused_at is not None:
            self._waiting.append(data)
            return b""
        if self._is_broken:
            return data
        self._items = self._reader.feed(data)
        return b"".join(self._run())

    def want_more(self, size: int) -> None:
        """Have the frame just seen, which was not whole, given again with up to this size."""
        self._reader.want_more(size)

    def take_all(self, size: int, action: Action) -> None:
        """Show this action all frames up to this size, until `take_usual`."""
        self._for_all = action
        self._reader.want({}, otherwise=size)

    def take_usual(self) -> None:
        """Look again at what was asked for in the beginning."""
        self._for_all = None
        self._is_dropping = False
        self._reader.want(self._sizes)

    def pause(self, message: Frame) -> None:
        """Keep all bytes from this frame on until `resume`."""
        self._paused_at = message

    def resume(self) -> bytes:
        """Go on with the frame of the pause; return what can be sent now."""
        message, self._paused_at = self._paused_at, None
        if message is None:
            raise ValueError("nothing is paused")
        raw = self._actions[message.code](message)
        return (raw or b"") + self.catch_up()

    def skip_paused(self) -> int | None:
        """Forget the frame of the pause and return its code; `catch_up` goes on behind it."""
        message, self._paused_at = self._paused_at, None
        return message and message.code

    def drop_to(self, code: int) -> None:
        """Lose whatever comes before the next frame with this code."""
        self._is_dropping = True
        self._reader.want({code: self._sizes[code]})

    def catch_up(self) -> bytes:
        """Return what can be sent of all that waited behind the frame of a pause."""
        pieces = [*self._run()]
        waiting, self._waiting = self._waiting, []
        pieces += [self.forward(data) for data in waiting]
        return b"".join(pieces)

    def end(self) -> bytes:
        """Return what waits for the rest of a frame, because no more bytes will come."""
        return b"" if self._is_dropping else self._reader.release()

    def _run(self) -> Iterator[bytes]:
        if self._paused_at is not None:
            return
        try:
            for item in self._items:
                if isinstance(item, Frame):
                    yield self._act(item)
                elif not self._is_dropping:
                    yield item
                if self._paused_at is not None:
                    return
        except ProtocolViolation as violation:
            # The other side knows best how to answer to this; from here on it gets the bytes.
            log.warning("forwarding blindly: %s", violation.message)
            self._is_broken = True
            yield self._reader.release()

    def _act(self, message: Frame) -> bytes:
        if self._is_dropping:
            self.take_usual()
        action = self._for_all or self._actions[message.code]
        return action(message) or b""
