/*
 * refuse.c
 *	  What is wrong with a column of a row, said alike where a query is planned
 *	  and where it runs.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "glue.h"

/*
 * The first name of the row tells whether it is a ROW(...), which knows no other names than f1,
 * f2 and so on
 */
void
refuse_missing_column(const char *name, const char *first_name, const char *model_name)
{
	bool		is_nameless = first_name != NULL && strcmp(first_name, "f1") == 0;

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("the row has no column \"%s\"", name),
			 is_nameless
			 ? errhint("The columns of ROW(...) are called f1, f2 and so on: cast it to a table's type, or pass the row of a subquery.")
			 : errhint("Model \"%s\" was trained with that column; add it to the row, NULL if it is not known.",
					   model_name)));
}

void
refuse_double_column(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_AMBIGUOUS_COLUMN),
			 errmsg("the row has two columns \"%s\"", name),
			 errhint("Pass the row of a query whose columns have different names.")));
}

void
refuse_column_type(const char *name, Oid type, const char *model_name,
				   const SqlmlColumn *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of the row has type %s, but model \"%s\" expects %s",
					name, format_type_be(type), model_name,
					text_to_server(expected->type_name)),
			 errhint("Pass the row of a query that casts the column.")));
}
