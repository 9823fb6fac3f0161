/*
 * columns.c
 *	  The functions that predict from columns, one argument each.
 *
 * Internal: support.c writes their calls when a query is planned. Since anybody
 * may call them, they trust nothing: the number and the types of the columns
 * and the privilege are checked once a call site, user and version, and every
 * row is then read straight from the arguments.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "glue.h"

PG_FUNCTION_INFO_V1(sqlml_predict_columns);
PG_FUNCTION_INFO_V1(sqlml_predict_proba_columns);

#define CACHE_LINE 64
#define FETCHED_LINES 8

typedef struct ColumnPlan
{
	int			index;			/* among the arguments and the values */
	Conversion	conversion;
	FmgrInfo   *output;			/* for CONVERT_OUTPUT */
} ColumnPlan;

typedef struct ColumnsState
{
	int32		version_id;		/* 0 until all is bound */
	Oid			user;
	Scorer		scorer;
	int			column_count;
	ColumnPlan *columns;		/* by conversion */
	SqlmlValue *values;
	bool		is_utf8;		/* the database */
	const char *text;			/* the first one of the row before */
} ColumnsState;

static ColumnsState *
get_state(FmgrInfo *flinfo)
{
	ColumnsState *state = flinfo->fn_extra;

	if (state != NULL)
		return state;
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(ColumnsState));
	init_scorer(&state->scorer, flinfo->fn_mcxt);
	flinfo->fn_extra = state;
	return state;
}

/*
 * The model's name out of what EXPLAIN shows, as in "churn version 3"
 */
static char *
make_model_name(FunctionCallInfo fcinfo)
{
	char	   *label = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *end = NULL;

	for (char *at = label; (at = strstr(at, " version ")) != NULL; at++)
		end = at;
	if (end != NULL)
		*end = '\0';
	return label;
}

/*
 * A cached model was read by whoever used it first, so row security does not
 * answer for the others
 */
static void
check_privilege(const ColumnsState *state, int32 version_id)
{
	Oid			function = find_predict_function(get_model_facts(state->scorer.cached));

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" was dropped", state->scorer.model_name),
				 errhint("Run the query again.")));
	if (!may_execute(function))
		refuse_version(version_id);
}

static void
bind_column(ColumnPlan *column, const SqlmlColumn *expected, Oid type, const char *model_name)
{
	Oid			base_type = getBaseType(type);
	Oid			function;
	bool		is_varlena;

	column->conversion = find_conversion(base_type, expected->kind);
	if (column->conversion == CONVERT_NOT_POSSIBLE)
		refuse_column_type(text_to_server(expected->name), type, model_name, expected);
	if (column->conversion != CONVERT_OUTPUT)
		return;
	getTypeOutputInfo(base_type, &function, &is_varlena);
	column->output = palloc(sizeof(FmgrInfo));
	fmgr_info(function, column->output);
}

static int
compare_columns(const void *left, const void *right)
{
	const ColumnPlan *a = left;
	const ColumnPlan *b = right;

	if (a->conversion != b->conversion)
		return a->conversion < b->conversion ? -1 : 1;
	return a->index - b->index;
}

static void
bind_columns(ColumnsState *state, FunctionCallInfo fcinfo, int32 version_id)
{
	const SqlmlModel *model = state->scorer.model;

	if (get_fn_expr_variadic(fcinfo->flinfo) ||
		PG_NARGS() != ARGUMENTS_BEFORE_COLUMNS + (int) model->column_count)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the number of columns is not that of version %d", version_id),
				 errdetail("It takes %u.", model->column_count),
				 errhint("Use sqlml.predict, which finds the columns by their names.")));
	state->is_utf8 = GetDatabaseEncoding() == PG_UTF8;
	state->column_count = (int) model->column_count;
	state->columns = palloc0(sizeof(ColumnPlan) * model->column_count);
	state->values = palloc0(sizeof(SqlmlValue) * model->column_count);
	for (int i = 0; i < state->column_count; i++)
	{
		state->columns[i].index = i;
		bind_column(&state->columns[i], &model->columns[i],
					get_fn_expr_argtype(fcinfo->flinfo, ARGUMENTS_BEFORE_COLUMNS + i),
					state->scorer.model_name);
	}
	qsort(state->columns, state->column_count, sizeof(ColumnPlan), compare_columns);
}

/*
 * Be ready for the version that the second argument names
 */
static void
prepare_version(ColumnsState *state, FunctionCallInfo fcinfo)
{
	int32		version_id = PG_GETARG_INT32(1);
	MemoryContext caller;

	if (state->version_id == version_id && state->user == GetUserId())
		return;
	state->version_id = 0;
	open_scorer(&state->scorer, version_id, make_model_name(fcinfo));
	check_privilege(state, version_id);
	caller = MemoryContextSwitchTo(state->scorer.context);
	bind_columns(state, fcinfo, version_id);
	MemoryContextSwitchTo(caller);
	state->version_id = version_id;
	state->user = GetUserId();
}

/*
 * Short texts, which nearly all are, need no detoasting
 */
static inline void
read_text(ColumnPlan *column, Datum datum, SqlmlValue *value, bool is_utf8)
{
	const char *packed = DatumGetPointer(datum);

	if (!is_utf8 || !VARATT_IS_1B(packed) || VARATT_IS_1B_E(packed))
	{
		convert_datum(column->conversion, column->output, datum, value);
		return;
	}
	value->is_missing = false;
	value->as.text.data = VARDATA_1B(packed);
	value->as.text.size = VARSIZE_1B(packed) - VARHDRSZ_SHORT;
}

/*
 * Have the row that a scan brings next fetched into the cache while this one
 * is scored: to wait for it may take longer than all else. In a page each row
 * lies below the one before, about as far as that from its own predecessor. A
 * guess that is wrong, as where texts are computed, does no harm.
 */
static inline void
fetch_next_row(ColumnsState *state, const char *text)
{
	Size		distance = (uintptr_t) state->text - (uintptr_t) text;

	state->text = text;
	if (distance >= BLCKSZ)
		return;
	distance += CACHE_LINE;		/* to where the row begins */
	for (Size i = 0; i < FETCHED_LINES && distance > i * CACHE_LINE; i++)
		__builtin_prefetch(text - distance + i * CACHE_LINE);
}

/*
 * Loop over the columns of one conversion, which gives a number
 */
#define READ_NUMBERS(a_conversion, get_number) \
	for (; column < end && column->conversion == (a_conversion); column++) \
	{ \
		const NullableDatum *argument = &arguments[column->index]; \
		SqlmlValue *value = &values[column->index]; \
\
		value->is_missing = argument->isnull; \
		if (FLOAT8PASSBYVAL || !argument->isnull) \
			value->as.number = (double) get_number(argument->value); \
	}

/*
 * Read the arguments, those of the usual types in a loop for each type, in the
 * order of the conversions
 */
static void
read_columns(ColumnsState *state, const NullableDatum *arguments)
{
	ColumnPlan *column = state->columns;
	ColumnPlan *end = column + state->column_count;
	SqlmlValue *values = state->values;

	READ_NUMBERS(CONVERT_INT4, DatumGetInt32);
	READ_NUMBERS(CONVERT_INT8, DatumGetInt64);
	READ_NUMBERS(CONVERT_FLOAT4, DatumGetFloat4);
	READ_NUMBERS(CONVERT_FLOAT8, DatumGetFloat8);
	if (column < end && column->conversion == CONVERT_TEXT && !arguments[column->index].isnull)
		fetch_next_row(state, DatumGetPointer(arguments[column->index].value));
	for (; column < end && column->conversion == CONVERT_TEXT; column++)
	{
		if (arguments[column->index].isnull)
			values[column->index].is_missing = true;
		else
			read_text(column, arguments[column->index].value, &values[column->index],
					  state->is_utf8);
	}
	for (; column < end; column++)
	{
		if (arguments[column->index].isnull)
			values[column->index].is_missing = true;
		else
			convert_datum(column->conversion, column->output, arguments[column->index].value,
						  &values[column->index]);
	}
}

/*
 * Score the arguments, after none of the first three was found to be NULL that matters.
 * What detoasting takes belongs to the executor, which frees it after each row.
 */
static ColumnsState *
score(FunctionCallInfo fcinfo)
{
	ColumnsState *state = get_state(fcinfo->flinfo);

	CHECK_FOR_INTERRUPTS();
	prepare_version(state, fcinfo);
	read_columns(state, &fcinfo->args[ARGUMENTS_BEFORE_COLUMNS]);
	score_values(&state->scorer, state->values);
	return state;
}

/*
 * predict_columns(model text, version_id integer, type anyelement, VARIADIC columns "any")
 */
Datum
sqlml_predict_columns(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(get_prediction(&score(fcinfo)->scorer, fcinfo->flinfo));
}

/*
 * predict_proba_columns(model text, version_id integer, class text, VARIADIC columns "any")
 */
Datum
sqlml_predict_proba_columns(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(get_probability(&score(fcinfo)->scorer, PG_GETARG_TEXT_PP(2)));
}
