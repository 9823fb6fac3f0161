/*
 * sqlml.c
 *	  Start of the library, and the functions that score nothing.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/inval.h"

#include "glue.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

PG_FUNCTION_INFO_V1(sqlml_in_transaction_block);
PG_FUNCTION_INFO_V1(sqlml_forget_plans);

void
_PG_init(void)
{
	DefineCustomIntVariable("sqlml.cache_size",
							"Memory that a session may keep for models it has used.",
							"Models in use by a running query are kept whatever their size.",
							&cache_size_kb,
							64 * 1024, 0, INT_MAX / 2,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	watch_catalogue();
}

/*
 * Whether the session is in a transaction block, as opposed to a statement
 * that is its own transaction
 */
Datum
sqlml_in_transaction_block(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(IsTransactionBlock());
}

/*
 * Make every session forget, when this transaction commits, which versions
 * answer and the plans that hold them
 */
Datum
sqlml_forget_plans(PG_FUNCTION_ARGS)
{
	Oid			relation = get_model_relation();

	(void) fcinfo;
	/* the message goes by way of WAL */
	PreventCommandDuringRecovery("sqlml.forget_plans()");
	if (OidIsValid(relation))
		CacheInvalidateRelcacheByRelid(relation);
	PG_RETURN_VOID();
}
