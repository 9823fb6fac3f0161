"""
PostgreSQL's names of client encodings ↔ Python's codecs.

A text that its codec cannot read is nobody's statement: it goes to the server as it is.
"""

_CODECS = {
    "UTF8": "utf-8",
    "EUC_JP": "euc_jp",
    "EUC_JIS_2004": "euc_jis_2004",
    "EUC_KR": "euc_kr",
    "EUC_CN": "gb2312",
    "SJIS": "cp932",
    "SHIFT_JIS_2004": "shift_jis_2004",
    "BIG5": "big5",
    "GBK": "gbk",
    "UHC": "cp949",
    "GB18030": "gb18030",
    "JOHAB": "johab",
    "KOI8R": "koi8_r",
    "KOI8U": "koi8_u",
    "WIN866": "cp866",
    "WIN874": "cp874",
    **{f"WIN{page}": f"cp{page}" for page in range(1250, 1259)},
    **{f"ISO_8859_{part}": f"iso8859_{part}" for part in (5, 6, 7, 8)},
    **{
        f"LATIN{number}": f"iso8859_{part}"
        for number, part in enumerate((1, 2, 3, 4, 9, 10, 13, 14, 15, 16), start=1)
    },
}
# SQL_ASCII is any bytes; EUC_TW and MULE_INTERNAL have no codec. In all three, ASCII bytes
# stand for nothing but themselves, and the others survive decoding and encoding.
_UNKNOWN = ("utf-8", "surrogateescape")


def _codec(client_encoding: str) -> tuple[str, str]:
    codec = _CODECS.get(client_encoding)
    return (codec, "strict") if codec else _UNKNOWN


def decode(raw: bytes, client_encoding: str) -> str | None:
    """Return the text, or None unless it would become the same bytes again."""
    codec = _codec(client_encoding)
    try:
        text = raw.decode(*codec)
        is_exact = codec[0] == "utf-8" or text.encode(*codec) == raw
        return text if is_exact else None
    except UnicodeError:
        return None


def encode(text: str, client_encoding: str) -> bytes:
    """Return the bytes of a text whose characters came from this encoding."""
    return text.encode(*_codec(client_encoding))


def can_encode(text: str, client_encoding: str) -> bool:
    """Say whether all characters exist in this encoding, as escapes in a text may name others."""
    try:
        encode(text, client_encoding)
    except UnicodeEncodeError:
        return False
    return True


def encode_message(text: str, client_encoding: str) -> bytes:
    """Return the bytes of a message of our own; what cannot be said becomes a `?`."""
    return text.encode(_codec(client_encoding)[0], "replace")


def decode_head(raw: bytes, client_encoding: str) -> str:
    """Return the beginning of a text that may be cut inside a character."""
    return raw.decode(_codec(client_encoding)[0], "replace")
