/*
 * known_row.h
 *	  What is known of a row while a query is planned, and its columns.
 */
#ifndef SQLML_KNOWN_ROW_H
#define SQLML_KNOWN_ROW_H

#include "postgres.h"

#include "nodes/pathnodes.h"

#include "glue.h"

#pragma GCC visibility push(hidden)

/* Either a row type or two lists */
typedef struct KnownRow
{
	TupleDesc	type;			/* of a variable, a constant or a typed ROW() */
	Oid			relation;		/* whose row type that is, or invalid */
	const Var  *variable;		/* whole-row, of that type */
	Datum	   *constants;		/* of a constant of that type */
	bool	   *nulls;
	List	   *names;			/* String nodes; NIL where there is a type */
	List	   *fields;			/* expressions */
} KnownRow;

extern bool describe_row(PlannerInfo *root, Node *node, KnownRow *row);
extern List *match_columns(const KnownRow *row, const SqlmlModel *model, const char *model_name);

#pragma GCC visibility pop

#endif							/* SQLML_KNOWN_ROW_H */
