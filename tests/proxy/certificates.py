"""
Certificates for a test, made by openssl: an authority, and who it vouches for.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlml.proxy.tls import Identity


@dataclass(frozen=True)
class Authority:
    """A certificate that signs others, in a folder."""

    folder: Path
    identity: Identity

    @property
    def file(self) -> Path:
        return self.identity.certificate

    def vouch_for(self, name: str, subject_names: str = "IP:127.0.0.1") -> Identity:
        """Return a certificate with this common name and these other ones."""
        identity = _name_files(self.folder, name)
        request = self.folder / f"{name}.csr"
        extension = self.folder / f"{name}.ext"
        extension.write_text(f"subjectAltName={subject_names}\n")
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", identity.key, "-out", request, "-subj", f"/CN={name}"),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-out", identity.certificate, "-days", "2"),
            *("-CA", self.identity.certificate, "-CAkey", self.identity.key, "-CAcreateserial"),
            *("-extfile", extension),
        )
        return identity


def make_authority(folder: Path, name: str = "authority") -> Authority:
    """Make an authority whose files go into the folder."""
    identity = _name_files(folder, name)
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", identity.key, "-out", identity.certificate, "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:true"),
    )
    return Authority(folder, identity)


def _name_files(folder: Path, name: str) -> Identity:
    return Identity(folder / f"{name}.crt", folder / f"{name}.key")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
