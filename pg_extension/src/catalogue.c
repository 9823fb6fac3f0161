/*
 * catalogue.c
 *	  Ask the tables of sqlml, through SPI, as the calling user.
 *
 * As with PostgreSQL's own catalogue, the answers are of this moment, so that
 * what is kept of them stays right until an invalidation message comes. Only
 * in REPEATABLE READ and SERIALIZABLE are they of the transaction's snapshot.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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
 * Make the snapshot active in which a table of ours is read. A catalogue snapshot is one of
 * this moment also where the transaction is in parallel mode.
 */
static void
push_snapshot(Oid relation)
{
	if (!IsolationUsesXactSnapshot())
		PushActiveSnapshot(GetCatalogSnapshot(relation));
	else if (ActiveSnapshotSet())
		PushActiveSnapshot(GetActiveSnapshot());
	else
		PushActiveSnapshot(GetTransactionSnapshot());
}

/*
 * Run a plan whose first value of one row is asked for; false when there is none
 */
static bool
fetch_value(SPIPlanPtr plan, Datum parameter, Oid relation, Datum *value)
{
	bool		is_null = true;
	int			result;

	push_snapshot(relation);
	/* read-only: the active snapshot answers */
	result = SPI_execute_plan(plan, &parameter, NULL, true, 1);
	PopActiveSnapshot();
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
look_up_version(const char *model_name)
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
	if (fetch_value(plan, CStringGetTextDatum(model_name), get_model_relation(), &value))
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
 * The function predict_<model>(anyelement) of a model, while its owner owns it.
 * Whoever may execute it may use the model.
 */
Oid
find_predict_function(const ModelFacts *facts)
{
	Oid			namespace = get_namespace_oid(facts->schema_name, true);
	Oid			argument = ANYELEMENTOID;
	char	   *name = psprintf("predict_%s", facts->model_name);
	HeapTuple	tuple;
	Oid			function = InvalidOid;

	truncate_identifier(name, (int) strlen(name), false);
	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
							PointerGetDatum(buildoidvector(&argument, 1)),
							ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	if (((Form_pg_proc) GETSTRUCT(tuple))->proowner == facts->owner)
		function = ((Form_pg_proc) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return function;
}

/*
 * Whether the current user may call a function
 */
bool
may_execute(Oid function)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static Datum
get_not_null(int column)
{
	bool		is_null;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &is_null);

	if (is_null)
		elog(ERROR, "column %d of a version is null", column);
	return value;
}

/*
 * Read the artifact of a version, and of which model it is, into the caller's
 * memory context
 */
bytea *
read_artifact(int64 version_id, ModelFacts *facts)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext inside;
	Datum		value;
	bytea	   *artifact;

	SPI_connect();
	get_plan(&plan,
			 "SELECT version.artifact, version.number, model.schema_name, model.model_name,"
			 "       model.owner"
			 "  FROM sqlml.version"
			 "  JOIN sqlml.model ON model.model_id OPERATOR(pg_catalog.=) version.model_id"
			 " WHERE version.version_id OPERATOR(pg_catalog.=) $1",
			 INT8OID);
	if (!fetch_value(plan, Int64GetDatum(version_id), get_version_relation(), &value))
		refuse_version(version_id);
	inside = MemoryContextSwitchTo(context);
	artifact = DatumGetByteaPCopy(value);
	facts->schema_name = pstrdup(NameStr(*DatumGetName(get_not_null(3))));
	facts->model_name = pstrdup(NameStr(*DatumGetName(get_not_null(4))));
	facts->owner = DatumGetObjectId(get_not_null(5));
	facts->label = psprintf("%s version %d", facts->model_name, DatumGetInt32(get_not_null(2)));
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
	if (!fetch_value(plan, Int64GetDatum(version_id), get_version_relation(), &value))
		refuse_version(version_id);
	inside = MemoryContextSwitchTo(context);
	golden = DatumGetJsonbPCopy(value);
	MemoryContextSwitchTo(inside);
	SPI_finish();
	return golden;
}

/*
 * A version that is not there, or not for this user: one answer for both
 */
void
refuse_version(int64 version_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("version " INT64_FORMAT " cannot be read", version_id)));
}

/*
 * The table whose going makes every cached version void
 */
Oid
get_version_relation(void)
{
	return get_relname_relid("version", get_namespace_oid("sqlml", true));
}

/*
 * The table whose changes change which version answers
 */
Oid
get_model_relation(void)
{
	return get_relname_relid("model", get_namespace_oid("sqlml", true));
}
