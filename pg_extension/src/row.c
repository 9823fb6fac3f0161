/*
 * row.c
 *	  Rows and JSON objects become values of the core, columns matched by name.
 *
 * A plan is made once for each type of row that a query brings. Everything in
 * it lives in the memory context in which it was made.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "glue.h"

typedef struct ColumnPlan
{
	char	   *name;			/* in the server's encoding */
	int			attribute;		/* counted from 0 */
	Conversion	conversion;
	FmgrInfo	output;
} ColumnPlan;

struct RowPlan
{
	const SqlmlModel *model;
	const char *model_name;
	bool		is_json;		/* jsonb or json, as opposed to a row */
	bool		is_json_text;
	MemoryContext context;
	ColumnPlan *columns;
	SqlmlValue *values;
	uint64		identity;		/* of the row type bound to; 0 for none */
	MemoryContext bound;		/* what belongs to that row type */
	TupleDesc	row_type;
	Datum	   *datums;
	bool	   *nulls;
};

/*
 * Plan how to read features of a type
 */
RowPlan *
make_row_plan(const SqlmlModel *model, const char *model_name, Oid type)
{
	RowPlan    *plan = palloc0(sizeof(RowPlan));
	Oid			base_type = OidIsValid(type) ? getBaseType(type) : InvalidOid;

	plan->model = model;
	plan->model_name = model_name;
	plan->is_json = base_type == JSONBOID || base_type == JSONOID;
	plan->is_json_text = base_type == JSONOID;
	plan->context = CurrentMemoryContext;
	if (!plan->is_json && (!OidIsValid(type) || !type_is_rowtype(base_type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("features must be a row or a JSON object, not %s", format_type_be(type)),
				 errhint("Pass the table's name or alias, as in sqlml.predict('%s', t), or jsonb.",
						 model_name)));
	plan->columns = palloc0(sizeof(ColumnPlan) * model->column_count);
	plan->values = palloc0(sizeof(SqlmlValue) * model->column_count);
	for (uint32_t i = 0; i < model->column_count; i++)
		plan->columns[i].name = text_to_server(model->columns[i].name);
	return plan;
}

static int
find_attribute(TupleDesc row_type, const char *name, const char *model_name)
{
	int			found = -1;

	for (int i = 0; i < row_type->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(row_type, i);

		if (attribute->attisdropped || strcmp(NameStr(attribute->attname), name) != 0)
			continue;
		if (found >= 0)
			refuse_double_column(name);
		found = i;
	}
	if (found < 0)
		refuse_missing_column(name,
							  row_type->natts > 0 ? NameStr(TupleDescAttr(row_type, 0)->attname) : NULL,
							  model_name);
	return found;
}

static void
bind_column(const RowPlan *plan, ColumnPlan *column, const SqlmlColumn *expected)
{
	Form_pg_attribute attribute;
	Oid			type;

	column->attribute = find_attribute(plan->row_type, column->name, plan->model_name);
	attribute = TupleDescAttr(plan->row_type, column->attribute);
	type = getBaseType(attribute->atttypid);
	column->conversion = find_conversion(type, expected->kind);
	if (column->conversion == CONVERT_NOT_POSSIBLE)
		refuse_column_type(column->name, attribute->atttypid, plan->model_name, expected);
	if (column->conversion == CONVERT_OUTPUT)
	{
		Oid			function;
		bool		is_varlena;

		getTypeOutputInfo(type, &function, &is_varlena);
		fmgr_info_cxt(function, &column->output, plan->bound);
	}
}

/*
 * Match the model's columns with those of a row type
 */
static void
bind_row_type(RowPlan *plan, Oid type, int32 typmod, uint64 identity)
{
	MemoryContext caller;

	plan->identity = 0;
	if (plan->bound == NULL)
		plan->bound = AllocSetContextCreate(plan->context, "sqlml row type",
											ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(plan->bound);
	caller = MemoryContextSwitchTo(plan->bound);
	plan->row_type = lookup_rowtype_tupdesc_copy(type, typmod);
	plan->datums = palloc(sizeof(Datum) * plan->row_type->natts);
	plan->nulls = palloc(sizeof(bool) * plan->row_type->natts);
	for (uint32_t i = 0; i < plan->model->column_count; i++)
		bind_column(plan, &plan->columns[i], &plan->model->columns[i]);
	MemoryContextSwitchTo(caller);
	plan->identity = identity;
}

static void
read_record(RowPlan *plan, HeapTupleHeader record)
{
	Oid			type = HeapTupleHeaderGetTypeId(record);
	int32		typmod = HeapTupleHeaderGetTypMod(record);
	uint64		identity = assign_record_type_identifier(type, typmod);
	HeapTupleData tuple;

	/* the identifier is another one after ALTER TABLE */
	if (identity != plan->identity)
		bind_row_type(plan, type, typmod, identity);
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	heap_deform_tuple(&tuple, plan->row_type, plan->datums, plan->nulls);
	for (uint32_t i = 0; i < plan->model->column_count; i++)
	{
		ColumnPlan *column = &plan->columns[i];

		if (plan->nulls[column->attribute])
			plan->values[i].is_missing = true;
		else
			convert_datum(column->conversion, &column->output,
						  plan->datums[column->attribute], &plan->values[i]);
	}
}

static void
refuse_json(Jsonb *json)
{
	JsonbValue	scalar;
	const char *type_name = "an array";

	if (JB_ROOT_IS_SCALAR(json) && JsonbExtractScalar(&json->root, &scalar))
		type_name = json_type_name(&scalar);
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("features must be a row or a JSON object, not %s", type_name)));
}

static void
read_json(RowPlan *plan, Jsonb *json)
{
	if (!JB_ROOT_IS_OBJECT(json))
		refuse_json(json);
	for (uint32_t i = 0; i < plan->model->column_count; i++)
	{
		const char *name = plan->columns[i].name;
		JsonbValue	found;

		if (getKeyJsonValueFromContainer(&json->root, name, (int) strlen(name), &found) == NULL ||
			found.type == jbvNull)
			plan->values[i].is_missing = true;
		else
			convert_json(&plan->model->columns[i], name, plan->model_name, &found,
						 &plan->values[i]);
	}
}

/*
 * Read features that are not NULL. The values hold until the next row.
 */
const SqlmlValue *
read_row(RowPlan *plan, Datum features)
{
	if (plan->is_json_text)
		features = DirectFunctionCall1(jsonb_in,
									   CStringGetDatum(TextDatumGetCString(features)));
	if (plan->is_json)
		read_json(plan, DatumGetJsonbP(features));
	else
		read_record(plan, DatumGetHeapTupleHeader(features));
	return plan->values;
}
