"""Variables that are nearly ours: misspelt, or what people guess."""

from collections.abc import Collection

_PREFIXES = ("CHIRPSTACK_", "INIT_JOB_", "CHIRPSTACK_INIT_")
_GUESSES = {
    "CHIRPSTACK_EMAIL": ("USERNAME", "USER", "LOGIN", "ACCOUNT", "USER_NAME", "USER_EMAIL", "MAIL", "EMAIL", "ADMIN",
                         "ADMIN_USER", "ADMIN_USERNAME", "ADMIN_EMAIL", "ADMIN_LOGIN", "LOGIN_EMAIL"),
    "CHIRPSTACK_PASSWORD": ("PASS", "PASSWD", "PW", "PWD", "PASSWORD", "ADMIN_PASSWORD", "ADMIN_PASS", "ADMIN_PW",
                            "USER_PASSWORD", "LOGIN_PASSWORD", "NEW_PASSWORD"),
    "CHIRPSTACK_INITIAL_PASSWORD": ("DEFAULT_PASSWORD", "OLD_PASSWORD", "FIRST_PASSWORD", "INIT_PASSWORD"),
    "CHIRPSTACK_URL": ("API_URL", "HOST", "SERVER", "ADDRESS", "ADDR", "ENDPOINT", "BASE_URL", "SERVER_URL", "URI",
                       "API_SERVER", "API_HOST", "API_ENDPOINT", "API_BASE_URL", "HOSTNAME", "REST_URL", "GRPC_URL"),
    "CHIRPSTACK_API": ("API_VERSION", "GENERATION"),
    "CHIRPSTACK_CA_FILE": ("CA", "CA_CERT", "CACERT", "CA_CERT_FILE", "CA_BUNDLE", "CA_PATH", "TLS_CA", "SSL_CA"),
    "CHIRPSTACK_CLIENT_CERT_FILE": ("CLIENT_CERT", "CERT", "CERT_FILE", "TLS_CERT", "TLS_CERT_FILE"),
    "CHIRPSTACK_CLIENT_KEY_FILE": ("CLIENT_KEY", "KEY_FILE", "TLS_KEY", "TLS_KEY_FILE"),
    "CHIRPSTACK_TLS_VERIFY": ("INSECURE", "VERIFY", "VERIFY_TLS", "VERIFY_SSL", "SSL_VERIFY", "SKIP_VERIFY",
                              "TLS_SKIP_VERIFY", "TLS_INSECURE"),
    "CHIRPSTACK_HEADERS_FILE": ("HEADERS", "EXTRA_HEADERS"),
    "API_KEY_NAME": ("KEY_NAME", "TOKEN_NAME", "API_TOKEN_NAME"),
    "API_KEY_SCOPE": ("SCOPE", "KEY_SCOPE", "TENANT", "TENANT_ID", "TENANT_NAME", "ORGANIZATION", "ORGANIZATION_ID",
                      "ORGANISATION", "APPLICATION_ID"),
    "API_KEY_READ_ONLY": ("READ_ONLY", "READONLY"),
    "TOKEN_FILE": ("API_TOKEN_FILE", "TOKEN_PATH", "TOKEN_OUTPUT", "OUTPUT", "OUTPUT_FILE", "API_KEY_FILE", "KEY_PATH"),
    "ENV_VAR": ("TOKEN_VAR", "TOKEN_VARIABLE", "ENV_NAME", "ENV_VARIABLE"),
    "WAIT_TIMEOUT": ("TIMEOUT",),
}  # fmt: skip
"""What stands behind one of the prefixes."""
_BARE = {"API_KEY": "API_KEY_NAME", "KEY_NAME": "API_KEY_NAME", "API_KEY_FILE": "TOKEN_FILE",
         "API_TOKEN_FILE": "TOKEN_FILE", "API_KEYS_FILE": "KEYS_FILE", "TOKEN_PATH": "TOKEN_FILE",
         "ON_TOKEN_LOST": "ON_LOST_TOKEN"}  # fmt: skip
"""Without a prefix, where hardly another service means something else by it."""
_OFTEN_OTHERS = ("KEY_FILE",)
"""Close to one of ours, and the name of a TLS key to many a program."""
_BY_GUESS = {prefix + word: ours for ours, words in _GUESSES.items() for word in words for prefix in _PREFIXES} | _BARE


def meant(name: str, ours: Collection[str], given: Collection[str]) -> str:
    """The variable that was probably meant; empty where the name is another service's own."""
    import difflib

    upper = name.upper()
    # NAME_2 is somebody's second NAME, not a slip.
    if name[-1:].isdigit() or upper in _OFTEN_OTHERS:
        return ""
    if guess := _guess(upper, ours):
        # Beside the right one it is another service's.
        right = guess.removesuffix("_FILE")
        return "" if {guess, right, right + "_FILE"} & set(given) else guess
    return next(iter(difflib.get_close_matches(upper, ours, n=1, cutoff=0.92)), "")


def _guess(name: str, ours: Collection[str]) -> str:
    if name in _BY_GUESS:
        return _BY_GUESS[name]
    value = _BY_GUESS.get(name.removesuffix("_FILE"), "")
    if value + "_FILE" in ours:
        return value + "_FILE"
    for prefix in _PREFIXES:
        rest = name.removeprefix(prefix)
        # The server itself may have a CHIRPSTACK_LOG_LEVEL.
        if rest != name and rest in ours and not rest.startswith("LOG_"):
            return rest
    return ""
