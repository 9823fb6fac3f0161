/*
 * noop.c
 *	  A function that does nothing with its arguments: what any C function over
 *	  the same columns costs at least.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(noop);

Datum
noop(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(0.0);
}
