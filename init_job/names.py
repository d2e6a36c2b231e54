"""Variables that are nearly ours: misspelt, or what people guess."""

import re
from collections.abc import Collection, Mapping

_PREFIXES = ("CHIRPSTACK_", "INIT_JOB_", "CHIRPSTACK_INIT_")
_WORD = "(PASS|PASSWD|PASSWORD|PW|PWD)"
_KEY = "(API_)?(KEY_|TOKEN_)?"
_GROUP = "(TENANT|ORG|ORGANI[SZ]ATION)(_ID|_NAME)?|(APP|APPLICATION)(_ID|_NAME)"
_GUESSES = {
    "CHIRPSTACK_EMAIL": "ADMIN|((ADMIN|LOGIN|USER|ACCOUNT)_)?(USER|USER_?NAME|LOGIN|ACCOUNT|E?MAIL(_ADDRESS)?)",
    "CHIRPSTACK_PASSWORD": f"((ADMIN|LOGIN|USER|ACCOUNT|NEW)_)*{_WORD}",
    "CHIRPSTACK_INITIAL_PASSWORD": f"(ADMIN_)?(DEFAULT|OLD|FIRST|INIT|INITIAL)_(ADMIN_|USER_)?{_WORD}",
    "CHIRPSTACK_URL": "((APPLICATION_SERVER|SERVER|API|REST|GRPC|WEB|HTTP|BASE)_?)*"
                      "(URL|URI|HOST|HOSTNAME|SERVER|ADDR|ADDRESS|ENDPOINT)",
    "CHIRPSTACK_API": "API_VERSION|GENERATION",
    "CHIRPSTACK_CA_FILE": "((TLS|SSL|ROOT)_)*CA(_?CERT|_CERTS|_CERTIFICATE|_BUNDLE)?(_PATH)?",
    "CHIRPSTACK_CLIENT_CERT_FILE": "((TLS|SSL|CLIENT)_)*(CERT|CERTIFICATE)(_PATH)?",
    "CHIRPSTACK_CLIENT_KEY_FILE": "((TLS|SSL|CLIENT)_)+KEY(_PATH)?|KEY_FILE",
    "CHIRPSTACK_TLS_VERIFY": "(?=.*(VERIFY|INSECURE))((TLS|SSL|SKIP|VERIFY|INSECURE)(_|$))+",
    "CHIRPSTACK_HEADERS_FILE": "((EXTRA|HTTP|REQUEST|CUSTOM)_)*HEADERS?(_PATH)?",
    "HEALTH_URL": "HEALTH_?CHECK_URL",
    "API_KEY_NAME": "(API_)?(KEY|TOKEN)_NAME",
    "API_KEY_SCOPE": f"{_KEY}(SCOPE|{_GROUP})",
    "API_KEY_READ_ONLY": f"{_KEY}READ_?ONLY",
    "TOKEN_FILE": "(API_)?(TOKEN|KEY)_PATH|API_(TOKEN|KEY)_FILE|(TOKEN_)?OUTPUT",
    "KUBERNETES_SECRET": "KUBERNETES_SECRET_NAME",
    "ENV_VAR": "TOKEN_(VAR|VARIABLE)|ENV_(NAME|VARIABLE|VAR_NAME)",
    "FILE_MODE": "TOKEN_FILE_MODE",
    "WAIT_TIMEOUT": "TIMEOUT",
}  # fmt: skip
"""What stands behind one of the prefixes: words that mean the same."""
_BARE = {
    "HEALTH_URL": "HEALTH_?CHECK_URL",
    "API_KEY_NAME": "API_KEY|KEY_NAME",
    "API_KEY_SCOPE": f"API_(KEY|TOKEN)_({_GROUP})",
    "TOKEN_FILE": "API_(TOKEN|KEY)_FILE|TOKEN_PATH",
    "KEYS_FILE": "API_KEYS_FILE",
    "ON_LOST_TOKEN": "ON_TOKEN_LOST",
    "KUBERNETES_SECRET": "KUBERNETES_SECRET_NAME",
    "ENV_VAR": "ENV_VAR_NAME",
    "FILE_MODE": "TOKEN_FILE_MODE",
}
"""Without a prefix, where hardly another service means something else by it."""
_OFTEN_OTHERS = ("KEY_FILE",)
"""Close to one of ours, and the name of a TLS key to many a program."""


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
        return "" if {guess, right, right + "_FILE"} & (set(given) - {name}) else guess
    return next(iter(difflib.get_close_matches(upper, ours, n=1, cutoff=0.92)), "")


def _guess(name: str, ours: Collection[str]) -> str:
    rests = [name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)]
    for rest, guesses in [(name, _BARE), *((rest, _GUESSES) for rest in rests)]:
        if guess := _matched(rest, guesses):
            return guess
        # What ours is read from; or ours is itself a path.
        value = _matched(rest.removesuffix("_FILE"), guesses)
        if (path := value.removesuffix("_FILE") + "_FILE") in ours:
            return path
    # The server itself may have a CHIRPSTACK_LOG_LEVEL.
    return next((rest for rest in rests if rest in ours and not rest.startswith("LOG_")), "")


def _matched(name: str, guesses: Mapping[str, str]) -> str:
    return next((ours for ours, words in guesses.items() if re.fullmatch(words, name)), "")
