/*
 * golden.c
 *	  A version's golden rows: rows with the raw scores that it was published with.
 *
 * Every artifact answers them when it is loaded. A build that computes
 * otherwise than the one that published is found here, not in predictions.
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "glue.h"

/* As in sqlml/job/runner.py: what a published linear score may be off by */
#define LINEAR_TOLERANCE 1e-9

typedef struct GoldenCheck
{
	const SqlmlModel *model;
	const char *model_name;
	RowPlan    *plan;
	SqlmlWorkspace *workspace;
	double	   *scores;
	double	   *expected;
	uint32		row;			/* counted from 0 */
} GoldenCheck;

static void
refuse_golden(const GoldenCheck *check, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("golden rows of model \"%s\" are damaged", check->model_name),
			 errdetail("Row %u: %s.", check->row + 1, reason),
			 errhint("Train the model again.")));
}

static void
read_expected(const GoldenCheck *check, JsonbContainer *raw)
{
	if (!JsonContainerIsArray(raw) || JsonContainerSize(raw) != check->model->output_count)
		refuse_golden(check, "\"raw\" does not hold one number a raw score");
	for (uint32 k = 0; k < check->model->output_count; k++)
		if (!json_to_double(getIthJsonbValueFromContainer(raw, k), &check->expected[k]))
			refuse_golden(check, "\"raw\" does not hold one number a raw score");
}

/*
 * Read a row and its scores. What is wrong with them is wrong with the
 * catalogue, not with the query.
 */
static const SqlmlValue *
read_golden_row(const GoldenCheck *check, JsonbValue *row, JsonbContainer *raw)
{
	MemoryContext caller = CurrentMemoryContext;
	const SqlmlValue *volatile values = NULL;

	PG_TRY();
	{
		read_expected(check, raw);
		values = read_row(check->plan, JsonbPGetDatum(JsonbValueToJsonb(row)));
	}
	PG_CATCH();
	{
		int			code = geterrcode();

		if (ERRCODE_TO_CATEGORY(code) == ERRCODE_DATA_EXCEPTION ||
			code == ERRCODE_DATATYPE_MISMATCH)
		{
			ErrorData  *error;

			MemoryContextSwitchTo(caller);
			error = CopyErrorData();
			FlushErrorState();
			refuse_golden(check, error->message);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	return values;
}

static bool
is_same_score(const SqlmlModel *model, double actual, double expected)
{
	if (actual == expected || (isnan(actual) && isnan(expected)))
		return true;
	return !sqlml_is_exact(model) &&
		fabs(actual - expected) <= LINEAR_TOLERANCE * (1 + fabs(expected));
}

static void
compare_scores(const GoldenCheck *check)
{
	for (uint32 k = 0; k < check->model->output_count; k++)
		if (!is_same_score(check->model, check->scores[k], check->expected[k]))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("model \"%s\" does not give the answers it was published with",
							check->model_name),
					 errdetail("Golden row %u: raw score %u is %.17g, not %.17g, in the library built by %s.",
							   check->row + 1, k + 1, check->scores[k], check->expected[k],
							   __VERSION__),
					 errhint("Train the model again, or use the build of sqlml that trained it.")));
}

static void
check_row(const GoldenCheck *check, JsonbValue *item)
{
	JsonbContainer *object = item->type == jbvBinary ? item->val.binary.data : NULL;
	JsonbValue	row;
	JsonbValue	raw;

	if (object == NULL || !JsonContainerIsObject(object) ||
		getKeyJsonValueFromContainer(object, "row", strlen("row"), &row) == NULL ||
		getKeyJsonValueFromContainer(object, "raw", strlen("raw"), &raw) == NULL ||
		row.type != jbvBinary || raw.type != jbvBinary)
		refuse_golden(check, "it is no object with \"row\" and \"raw\"");
	sqlml_score(check->model, read_golden_row(check, &row, raw.val.binary.data),
				check->workspace, check->scores);
	compare_scores(check);
}

/*
 * Raise an error unless the model gives the answers that its golden rows hold
 */
void
check_golden(const SqlmlModel *model, const char *model_name, int64 version_id)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "sqlml golden rows",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	GoldenCheck check = {.model = model, .model_name = model_name};
	Jsonb	   *golden = read_golden(version_id);

	if (!JB_ROOT_IS_ARRAY(golden) || JB_ROOT_IS_SCALAR(golden))
		refuse_golden(&check, "no array holds it");
	check.plan = make_row_plan(model, model_name, JSONBOID);
	check.workspace = sqlml_make_workspace(model, palloc(sqlml_workspace_size(model)));
	check.scores = palloc(sizeof(double) * model->output_count);
	check.expected = palloc(sizeof(double) * model->output_count);
	for (; check.row < JB_ROOT_COUNT(golden); check.row++)
		check_row(&check, getIthJsonbValueFromContainer(&golden->root, check.row));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
