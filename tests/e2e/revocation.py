# SPDX-License-Identifier: Apache-2.0
"""A CA that revokes what it has issued, intermediate CAs, and certificates that do not last."""
import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from certs import DAY, Authority, _write


class RevokingAuthority(Authority):
    """issuer: the CA above this one; without it, it signs itself."""

    def __init__(self, folder, name, issuer=None):
        super().__init__(folder, name)
        if issuer:
            self.certificate = self._signed_again(self.certificate, issuer)
            _write(self.path, self.certificate.public_bytes(serialization.Encoding.PEM))

    @staticmethod
    def _signed_again(certificate, issuer, end=None):
        """The same certificate from another issuer, or with another end."""
        builder = (x509.CertificateBuilder().subject_name(certificate.subject).issuer_name(issuer.subject)
                   .public_key(certificate.public_key()).serial_number(certificate.serial_number)
                   .not_valid_before(certificate.not_valid_before).not_valid_after(end or certificate.not_valid_after))
        for extension in certificate.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(issuer.key, hashes.SHA256())

    def issue_for(self, lifetime, name, subject):
        """A client certificate that ends after lifetime: (certificate path, key path)."""
        paths = self.issue(name, subject)
        with open(paths[0], "rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read())
        certificate = self._signed_again(certificate, self, datetime.datetime.utcnow() + lifetime)
        _write(paths[0], certificate.public_bytes(serialization.Encoding.PEM))
        return paths

    def crl(self, path, *revoked, begin=-DAY, end=30 * DAY, der=False, key=None, append=False, extension=None):
        """Writes the revocation list of certificates, or of paths of them; begin and end from now. Returns path."""
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject)
                   .last_update(now + begin).next_update(now + end))
        for item in revoked:
            if not isinstance(item, x509.Certificate):
                with open(item, "rb") as file:
                    item = x509.load_pem_x509_certificate(file.read())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(item.serial_number).revocation_date(now - DAY).build())
        if extension:
            builder = builder.add_extension(extension, critical=True)
        crl = builder.sign(key or self.key, hashes.SHA256())
        with open(path, "ab" if append else "wb") as file:
            file.write(crl.public_bytes(serialization.Encoding.DER if der else serialization.Encoding.PEM))
        return str(path)
