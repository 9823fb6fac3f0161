/*
 * sqlml.c
 *	  Start of the library, and the one function that scores nothing.
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "utils/guc.h"

#include "glue.h"

PG_MODULE_MAGIC;

extern void _PG_init(void);

PG_FUNCTION_INFO_V1(sqlml_in_transaction_block);

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
