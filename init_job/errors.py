"""Everything that can end a run, with its exit code.

InitJobError
├── ConfigurationError    2  the settings are wrong or incomplete
├── NotReady              3  the server was not ready within WAIT_TIMEOUT
│   └── Overtaken            another run has taken the key over: this one begins anew (`each`)
├── AccountError          4  the login was refused, or the account may not do this
├── TokenError            5  the token is lost, or the saved one is somebody else's
├── OutputError           6  an output cannot be read or written
└── ServerRefusal         7  the server refused, or does not support what was asked

Unavailable is no end of a run: it says "not now", and `wait` tries again until it becomes NotReady. NotThere is the
kind of it that is asked again soonest.
"""


class InitJobError(Exception):
    """What happened (the message) and what to do (the hint), one line each."""

    exit_code = 1
    meaning = "a bug in this program"

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(InitJobError):
    exit_code = 2
    meaning = "the configuration is wrong; every problem is listed"


class NotReady(InitJobError):
    exit_code = 3
    meaning = "the server was not ready within WAIT_TIMEOUT"


class Overtaken(NotReady):
    """No end of a run."""


class AccountError(InitJobError):
    exit_code = 4
    meaning = "the login was refused, or the account may not do this"


class TokenError(InitJobError):
    exit_code = 5
    meaning = "the token is lost or does not work, or the saved token is somebody else's"


class OutputError(InitJobError):
    exit_code = 6
    meaning = "an output cannot be read or written"


class ServerRefusal(InitJobError):
    exit_code = 7
    meaning = "the server refused, or does not support what was asked"


class Unavailable(Exception):
    """A transient failure: worth another try. `hint` says what to look at should it never end."""

    in_doubt = True
    """Whether the request may have been carried out; False when nothing of it has left."""
    lasting = False
    """Whether it is nothing that passes while a server starts: not worth all of WAIT_TIMEOUT."""

    def __init__(self, reason: str, hint: str = "", retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.hint = hint
        self.retry_after = retry_after
        """Seconds that the server asks to be left alone."""


class NotThere(Unavailable):
    """Nothing answers yet, as while a server starts: worth asking again soon."""


EXIT_CODES: tuple[tuple[str, str], ...] = (
    ("0", "done: a token that the server accepts is in every output"),
    *(
        (str(error.exit_code), error.meaning)
        for error in (InitJobError, ConfigurationError, NotReady, AccountError, TokenError, OutputError, ServerRefusal)
    ),
    ("130, 143", "interrupted (SIGINT), terminated (SIGTERM)"),
)
