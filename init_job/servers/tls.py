"""TLS as the settings ask for it."""

import re
import ssl
import warnings
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.exceptions import InsecureRequestWarning

from init_job import log
from init_job.errors import ConfigurationError
from init_job.settings import Settings


class TlsAdapter(HTTPAdapter):
    """requests with an SSLContext of our own: it would add certifi's certificates to the ones asked for."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        # urllib3 sets the context's verify_mode to cert_reqs, and requests asks for certificates by default.
        return host, {**pool, "ssl_context": self._context, "cert_reqs": self._context.verify_mode}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        pass


def tls_context(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"CHIRPSTACK_CA_FILE: {settings.ca_file} holds no certificates ({tls_reason(error)})",
            "it must be a PEM file with the CA's certificate",
        ) from error
    if settings.ca_file:
        # Python 3.13 refuses CA certificates without key usage, which many home-made ones lack; curl and Go take them.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # The same for a file with an intermediate CA only; before 3.13 Python does not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not settings.tls_verify:
        log.warning(
            "tls-unverified", "CHIRPSTACK_TLS_VERIFY=false: whoever is on the way can read the password and the token"
        )
        warnings.simplefilter("ignore", InsecureRequestWarning)  # urllib3's own, at every connection
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.client_cert_file:
        try:
            context.load_cert_chain(settings.client_cert_file, settings.client_key_file or None, password="")
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"CHIRPSTACK_CLIENT_CERT_FILE: {settings.client_cert_file} cannot be used ({tls_reason(error)})",
                "it must be a PEM certificate, and CHIRPSTACK_CLIENT_KEY_FILE its key without a passphrase",
            ) from error
    return context


def tls_reason(error: BaseException) -> str:
    reason = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
    return log.masked(re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", reason).replace("_", " ").lower())
