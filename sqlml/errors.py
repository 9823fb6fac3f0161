"""
The errors that sqlml raises, each with its SQLSTATE.

A message is one line, lower case, without a full stop; facts go into the detail and
advice into the hint. The docstring says when the error is raised; `docs/errors.md` is
made from it. Class `ML` holds what PostgreSQL has no condition for.
"""


class SqlmlError(Exception):
    """Root of every error that a user of sqlml can meet."""

    sqlstate = "ML000"

    def __init__(self, message: str, *, detail: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint


class StatementSyntaxError(SqlmlError):
    """A model statement does not follow its grammar; the position is in the statement."""

    sqlstate = "42601"

    def __init__(
        self, message: str, *, position: int, detail: str | None = None, hint: str | None = None
    ):
        super().__init__(message, detail=detail, hint=hint)
        self.position = position
        """Offset in characters from the start of the text, counted from 1."""


class NameTooLong(StatementSyntaxError):
    """A name in a model statement has more bytes than PostgreSQL keeps."""

    sqlstate = "42622"


class ParameterNotAllowed(StatementSyntaxError):
    """A model statement holds a parameter such as $1; it takes none."""

    sqlstate = "42P02"


class ProtocolViolation(SqlmlError):
    """A client or the server sent bytes that the PostgreSQL protocol does not allow."""

    sqlstate = "08P01"


class UpstreamUnavailable(SqlmlError):
    """The proxy cannot reach its PostgreSQL server."""

    sqlstate = "08006"


class EncryptionRequired(SqlmlError):
    """The proxy takes encrypted connections only, and the client did not encrypt."""

    sqlstate = "28000"


class NotAuthorized(SqlmlError):
    """Nobody proved to the server who the client is, or the proof cannot pass the proxy."""

    sqlstate = "28000"


class ProtocolNotSupported(SqlmlError):
    """The client's protocol version cannot pass the proxy on this kind of connection."""

    sqlstate = "0A000"


class TooManySessions(SqlmlError):
    """The proxy has as many sessions as it may or can have."""

    sqlstate = "53300"


class ProxyStopping(SqlmlError):
    """The proxy was told to stop and ends its sessions."""

    sqlstate = "57P01"


class SettingNotUsable(SqlmlError):
    """A setting of the proxy cannot be used; it does not start, or keeps the old one."""

    sqlstate = "F0000"


class TargetAllNull(SqlmlError):
    """The target is NULL in every training row."""

    sqlstate = "ML001"


class SingleClass(SqlmlError):
    """The target of a classification has one value only."""

    sqlstate = "ML002"


class TooFewRows(SqlmlError):
    """Fewer than 10 training rows have a target."""

    sqlstate = "ML003"


class NoUsableColumn(SqlmlError):
    """No column is left that a model could learn from."""

    sqlstate = "ML004"


class TargetNotUsable(SqlmlError):
    """The target has a type or values that the problem type cannot learn."""

    sqlstate = "ML005"


class OptionNotUsable(SqlmlError):
    """An option has a value that does not suit the target or the problem type."""

    sqlstate = "22023"


class NoWorker(SqlmlError):
    """No worker is connected, so that nothing would train the model."""

    sqlstate = "ML010"


class WorkerLost(SqlmlError):
    """The worker or its child process died while it trained the model."""

    sqlstate = "ML011"


class JobDeserted(SqlmlError):
    """The session that waited for its training ended, and the training with it."""

    sqlstate = "57014"


class TrainingFailed(SqlmlError):
    """Training ended with an error that sqlml did not foresee."""

    sqlstate = "ML012"


class ArtifactDisagrees(SqlmlError):
    """The compiled artifact does not give the answers of its estimators."""

    sqlstate = "ML013"


class ArtifactDamaged(SqlmlError):
    """The bytes of an artifact are cut, changed or not an artifact."""

    sqlstate = "XX001"


class ArtifactNotSupported(SqlmlError):
    """The artifact was written by a newer sqlml than the one that reads it."""

    sqlstate = "0A000"


class ContributionsNotSupported(SqlmlError):
    """The model's answers are not sums of what each column adds."""

    sqlstate = "0A000"


class NotCompilable(SqlmlError):
    """A fitted estimator uses something that the artifact cannot express exactly."""

    sqlstate = "0A000"


class ServerNotFound(SqlmlError):
    """No PostgreSQL server binaries were found on this machine."""

    sqlstate = "58P01"


class StackError(SqlmlError):
    """The embedded stack could not be started or stopped."""

    sqlstate = "58000"
