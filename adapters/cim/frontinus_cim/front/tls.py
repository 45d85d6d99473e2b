"""TLS: the administrator's certificate, or one that the provider makes for itself at its first start."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from frontinus import durable
from frontinus.client.toml import BadConfig
from frontinus_cim.front.config import Config

CERTIFICATE, KEY = "certificate.pem", "key.pem"
DAYS = 3650


def context(config: Config, state: Path, hostname: str) -> ssl.SSLContext:
    """What a listening port needs. Raises BadConfig, OSError."""
    certificate, key = config.certificate, config.key
    if certificate is None or key is None:
        certificate, key = state / CERTIFICATE, state / KEY
        if not certificate.exists() or not key.exists():
            make(state, hostname)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        made.load_cert_chain(certificate, key)
        if config.client_ca is not None:
            made.load_verify_locations(config.client_ca)
            made.verify_mode = ssl.CERT_OPTIONAL
    except (ssl.SSLError, OSError) as error:
        raise BadConfig(f"{certificate}, {key} or the client's authority cannot be used: {error}") from None
    return made


def trust(config: Config) -> ssl.SSLContext | None:
    """Whom indications are sent to over TLS; None for those that the host trusts. Raises BadConfig."""
    if config.destination_ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(config.destination_ca))
    except (ssl.SSLError, OSError) as error:
        raise BadConfig(f"{config.destination_ca} cannot be used: {error}") from None


def make(folder: Path, hostname: str) -> None:
    """A key and a certificate for this host that it signed itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (hostname or "localhost")[:64])])
    now = datetime.datetime.now(datetime.UTC)
    names: list[x509.GeneralName] = [
        x509.DNSName(host) for host in {"localhost", hostname or "localhost"} if host.isascii()
    ]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS)).add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    durable.write(folder / KEY, pem)
    durable.write(folder / CERTIFICATE, made.public_bytes(serialization.Encoding.PEM))
