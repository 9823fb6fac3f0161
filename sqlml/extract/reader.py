"""
Read the training rows out of PostgreSQL into Arrow.

Owns the COPY connection. Does not choose columns and does not know what the data is for.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_manager._reader import AdbcRecordBatchReader

from sqlml.enums import ColumnKind
from sqlml.errors import SqlmlError, TargetAllNull, TrainingFailed
from sqlml.extract.dataset import Column, Dataset
from sqlml.extract.roles import check_order
from sqlml.extract.sample import sample_batches
from sqlml.extract.source import Source

ARROW_TYPES = {
    ColumnKind.NUMERIC: pa.float64(),
    ColumnKind.BOOLEAN: pa.bool_(),
    ColumnKind.CATEGORY: pa.string(),
    ColumnKind.DATETIME: pa.int64(),
    # The elements of all rows together may be too many for offsets of 32 bits.
    ColumnKind.ARRAY: pa.large_list(pa.float64()),
}

OUT_OF_RANGE = ("22003", "22008")
OUT_OF_RANGE_HINT = (
    "Numbers are read as double precision and dates as timestamps: exclude a column with others,"
    " or give a query that leaves them out."
)

# Two reads of an unchanged table must give the same order, or the same seed would not
# give the same model.
SESSION = ("SET synchronize_seqscans = off", "SET max_parallel_workers_per_gather = 0")


def read_dataset(dsn: str, source: Source) -> Dataset:
    """
    Read all rows of a source, or a sample of them, through `COPY … (FORMAT binary)`.

    Raises `TargetAllNull` when no row has a target, `OptionNotUsable` when one has no place in
    the order, and what PostgreSQL reports, under
    its own SQLSTATE, when the training function fails.
    """
    try:
        with closing(adbc.connect(dsn, autocommit=True)) as connection:
            return _read(connection, source)
    except adbc_driver_manager.Error as error:
        raise _translate(error) from error


def has_target(rows: pa.RecordBatch, target: Column) -> pa.Array:
    """Tell the rows whose target is neither NULL nor NaN nor infinite."""
    values = rows.column(target.name)
    if target.kind is ColumnKind.NUMERIC:
        return pc.fill_null(pc.is_finite(values), False)
    return pc.is_valid(values)


def _read(connection: adbc.Connection, source: Source) -> Dataset:
    schema = make_arrow_schema(source)
    seen = usable = 0

    def usable_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal seen, usable
        for batch in batches:
            kept = batch.filter(has_target(batch, source.target))
            seen += batch.num_rows
            usable += kept.num_rows
            yield kept

    with closing(connection.cursor()) as cursor:
        for setting in SESSION:
            cursor.execute(setting)
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT * FROM {source.function}")
        batches = usable_batches(_read_batches(cursor, schema))
        if source.max_rows is None:
            table = pa.Table.from_batches(batches, schema)
        else:
            table = sample_batches(batches, schema, source.max_rows, source.seed)
    if seen and not usable:
        raise TargetAllNull(
            f'target "{source.target.name}" is {source.target.unknown} in all {seen} rows',
            hint="Choose another target, or a query whose rows have one.",
        )
    if source.roles.order_by is not None:
        check_order(table, source.roles.order_by)
    return Dataset(
        table=table,
        columns=source.columns,
        target=source.target,
        skipped=source.skipped,
        roles=source.roles,
        null_target_count=seen - usable,
        sampled_from=usable if usable > table.num_rows else None,
    )


def make_arrow_schema(source: Source) -> pa.Schema:
    """The Arrow schema of a dataset, in no particular order of the relation."""
    columns = (*source.columns, source.target, *source.roles.columns)
    return pa.schema([(column.name, ARROW_TYPES[column.kind]) for column in columns])


def _read_batches(cursor: adbc.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # What the cursor's own fetch_record_batch() gives loses the SQLSTATE of an error.
    handle = cursor.fetch_arrow()
    for batch in AdbcRecordBatchReader._import_from_c(handle.address):
        yield pa.RecordBatch.from_arrays(
            [batch.column(name) for name in schema.names], schema=schema
        )


def _translate(error: adbc_driver_manager.Error) -> SqlmlError:
    # The driver gives keys as text or as bytes, by the place where the error arose.
    details = {
        key.encode() if isinstance(key, str) else key: value for key, value in error.details or ()
    }
    message = details.get(b"PG_DIAG_MESSAGE_PRIMARY", b"").decode("utf-8", "replace")
    failure = TrainingFailed(
        message or "the training rows could not be read",
        detail="The query that gives the training rows failed."
        if message
        else str(error).splitlines()[0],
        hint=OUT_OF_RANGE_HINT if error.sqlstate in OUT_OF_RANGE else None,
    )
    failure.sqlstate = error.sqlstate or failure.sqlstate
    return failure
