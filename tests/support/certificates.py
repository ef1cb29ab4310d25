"""Certificates that no one has signed."""

import subprocess
from pathlib import Path


def write_certificate(folder: Path, name: str = "localhost") -> Path:
    """Write a server's certificate for a DNS name, and its key next to it, with the suffix .key."""
    path = folder / "certificate"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}"]
    files = ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run(["openssl", "req", *kind, *files], check=True, capture_output=True)
    return path
