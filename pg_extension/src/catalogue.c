/*
 * catalogue.c
 *	  Ask the tables of sqlml, through SPI, as the calling user.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "glue.h"

/*
 * Get the plan of a query with one parameter, which lives as long as the backend
 */
static SPIPlanPtr
get_plan(SPIPlanPtr *plan, const char *query, Oid type)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(query, 1, &type);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		*plan = prepared;
	}
	return *plan;
}

/*
 * Run a plan that gives one value; false when there is none
 */
static bool
fetch_value(SPIPlanPtr plan, Datum parameter, Datum *value)
{
	bool		is_null = true;
	int			result;

	/* read-only: the query's own snapshot answers */
	result = SPI_execute_plan(plan, &parameter, NULL, true, 1);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
	if (SPI_processed > 0)
		*value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
	return !is_null;
}

/*
 * One text of the row that a query gave, in the given memory context; NULL for NULL
 */
static char *
get_text(MemoryContext context, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return value == NULL ? NULL : MemoryContextStrdup(context, value);
}

/*
 * Find the version that answers for a model; the catalogue checks name and
 * privilege. Its error is raised here, not in PL/pgSQL, whose context lines
 * would tell a user nothing.
 */
int64
find_version(const char *model_name)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	Datum		value;
	int64		version_id;
	char	   *sqlstate;
	char	   *message;
	char	   *detail;
	char	   *hint;

	SPI_connect();
	get_plan(&plan,
			 "SELECT version_id, sqlstate, message, detail, hint FROM sqlml.look_up_version($1)",
			 TEXTOID);
	if (fetch_value(plan, CStringGetTextDatum(model_name), &value))
	{
		version_id = DatumGetInt64(value);
		SPI_finish();
		return version_id;
	}
	sqlstate = get_text(context, 2);
	message = get_text(context, 3);
	detail = get_text(context, 4);
	hint = get_text(context, 5);
	SPI_finish();
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(sqlstate[0], sqlstate[1], sqlstate[2], sqlstate[3], sqlstate[4])),
			 errmsg("%s", message),
			 detail ? errdetail("%s", detail) : 0,
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Read the artifact of a version into the caller's memory context
 */
bytea *
read_artifact(int64 version_id)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Datum		value;
	bytea	   *artifact;

	SPI_connect();
	get_plan(&plan,
			 "SELECT artifact FROM sqlml.version WHERE version_id OPERATOR(pg_catalog.=) $1",
			 INT8OID);
	if (!fetch_value(plan, Int64GetDatum(version_id), &value))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("version " INT64_FORMAT " cannot be read", version_id)));
	inside = MemoryContextSwitchTo(context);
	artifact = DatumGetByteaPCopy(value);
	MemoryContextSwitchTo(inside);
	SPI_finish();
	return artifact;
}

/*
 * Read the golden rows of a version, whose artifact was read, into the caller's memory context
 */
Jsonb *
read_golden(int64 version_id)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Datum		value;
	Jsonb	   *golden;

	SPI_connect();
	get_plan(&plan,
			 "SELECT golden FROM sqlml.version WHERE version_id OPERATOR(pg_catalog.=) $1",
			 INT8OID);
	if (!fetch_value(plan, Int64GetDatum(version_id), &value))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("version " INT64_FORMAT " cannot be read", version_id)));
	inside = MemoryContextSwitchTo(context);
	golden = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(inside);
	SPI_finish();
	return golden;
}

/*
 * The table whose going makes every cached version void
 */
Oid
get_version_relation(void)
{
	return get_relname_relid("version", get_namespace_oid("sqlml", true));
}
