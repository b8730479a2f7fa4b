# SPDX-License-Identifier: Apache-2.0
"""An identity provider: signs JSON Web Tokens and publishes its key set as a file."""
import json
import os
import secrets
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://idp.example"
ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")


class Signer:
    """One key. It signs with its algorithm and has a JWK for others to verify with."""

    def __init__(self, algorithm="ES256", kid=None):
        self.algorithm, self.kid = algorithm, kid or secrets.token_hex(4)
        self.key = {"RS256": lambda: rsa.generate_private_key(65537, 2048),
                    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
                    "EdDSA": ed25519.Ed25519PrivateKey.generate,
                    "HS256": lambda: secrets.token_bytes(32)}[algorithm]()

    def jwk(self):
        public = self.key if self.algorithm == "HS256" else self.key.public_key()
        kind = jwt.algorithms.get_default_algorithms()[self.algorithm]
        if self.algorithm == "HS256":
            text = json.dumps({"kty": "oct", "k": jwt.utils.base64url_encode(public).decode()})
        else:
            text = kind.to_jwk(public)
        members = {key: value for key, value in json.loads(text).items() if key not in ("key_ops", "alg", "use")}
        if self.algorithm == "ES256":  # PyJWT leaves out leading zeros, which must be there [RFC 7518, 6.2.1.2]
            numbers = public.public_numbers()
            members.update({key: jwt.utils.base64url_encode(getattr(numbers, key).to_bytes(32, "big")).decode() for key in "xy"})
        return {**members, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(self, subject, *, lifetime=600, headers=None, **claims):
        """A token as the policies of the tests want it; a claim that is None is left out."""
        now = time.time()
        payload = {"iss": ISSUER, "aud": "mqtt", "sub": subject, "iat": now, "exp": now + lifetime, **claims}
        return jwt.encode({key: value for key, value in payload.items() if value is not None}, self.key, self.algorithm,
                          headers={"kid": self.kid, **(headers or {})})


def write_jwks(path, *signers, mode=0o600):
    with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        json.dump({"keys": [signer.jwk() for signer in signers]}, file)
    os.chmod(path, mode)
    return str(path)
