/*
 * refuse.c
 *	  What is wrong with a column of a row, said alike where a query is planned
 *	  and where it runs.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "glue.h"

void
refuse_missing_column(const char *name, const char *model_name)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the row has no column \"%s\"", name),
			 errhint("Model \"%s\" was trained with that column; add it to the row, NULL if it is not known.",
					 model_name)));
}

void
refuse_double_column(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_COLUMN),
			 errmsg("the row has two columns \"%s\"", name)));
}

void
refuse_column_type(const char *name, Oid type, const char *model_name,
				   const SqlmlColumn *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of the row has type %s, but model \"%s\" expects %s",
					name, format_type_be(type), model_name,
					text_to_server(expected->type_name))));
}
