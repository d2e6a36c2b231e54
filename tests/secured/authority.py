"""A throw-away certificate authority."""

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Certificate:
    """PEM files. The first one also holds the certificates between it and the authority, if there are any."""

    file: Path
    key_file: Path


class Authority:
    """`usual=False`: without the key usage extension, as many home-made authorities are."""

    def __init__(self, folder: Path, name: str, *, usual: bool = True, above: "Authority | None" = None) -> None:
        self._folder, self._name, self._above = folder, name, above
        self._key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[x509.ExtensionType] = [x509.BasicConstraints(ca=True, path_length=None)]
        if usual:
            extensions.append(_usage(sign=False))
        signer = above or self
        self._certificate = signer._sign(name, self._key.public_key(), extensions)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(_pem(self._certificate))

    def _sign(
        self, name: str, key: ec.EllipticCurvePublicKey, extensions: list[x509.ExtensionType], days: int = 2
    ) -> x509.Certificate:
        """`days` below zero: it has expired."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_distinguished(name))
            .issuer_name(_distinguished(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
        )
        extensions = [
            x509.SubjectKeyIdentifier.from_public_key(key),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
            *extensions,
        ]
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def issue(
        self, name: str, *, hosts: tuple[str, ...] = HERE, days: int = 2, passphrase: str = "", client: bool = False
    ) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        extensions: list[x509.ExtensionType] = [
            x509.BasicConstraints(ca=False, path_length=None),
            _usage(sign=True),
            x509.ExtendedKeyUsage([purpose]),
        ]
        if not client:
            extensions.append(x509.SubjectAlternativeName([_host(host) for host in hosts]))
        certificate = self._sign(name, key.public_key(), extensions, days)
        issued = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        issued.file.write_bytes(_pem(certificate) + (_pem(self._certificate) if self._above else b""))
        issued.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(passphrase.encode())
                if passphrase
                else serialization.NoEncryption(),
            )
        )
        return issued


def tls(certificate: Certificate, clients_of: Authority | None = None) -> ssl.SSLContext:
    """For a server; with `clients_of` it wants a certificate of that authority from its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key_file)
    if clients_of:
        context.load_verify_locations(clients_of.file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _distinguished(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, sign: bool) -> x509.KeyUsage:
    """A server's or client's, that signs its handshake; or an authority's."""
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )
