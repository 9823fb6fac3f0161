/*
 * explain.c
 *	  The SQL function that says what each column adds to a raw score.
 *
 * The result goes into a tuplestore at once. So fn_extra stays free for what
 * predict.c keeps there, also from one row of a query to the next.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "glue.h"

PG_FUNCTION_INFO_V1(sqlml_explain_prediction);

static double *
contribute(const Scorer *scorer, const SqlmlValue *values)
{
	const SqlmlModel *model = scorer->model;
	Size		row_count = ((Size) model->column_count + 1) * model->output_count;
	double	   *contributions = MemoryContextAllocHuge(CurrentMemoryContext,
													   sizeof(double) * row_count);
	SqlmlError	error;

	if (sqlml_contribute(model, values, palloc(sqlml_contribution_size(model)),
						 contributions, &error) != SQLML_OK)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("model \"%s\" has no contributions", scorer->model_name),
				 errdetail("%s.", error.message),
				 errhint("Train the model again with one estimator, as in WITH (estimators = [linear]).")));
	return contributions;
}

static Datum
make_text(SqlmlText text)
{
	return CStringGetTextDatum(text_to_server(text));
}

/*
 * The class that a raw score speaks for: the only one of a binary model, for its second
 */
static Datum
make_class(const SqlmlModel *model, uint32_t output)
{
	return make_text(model->classes[model->problem == SQLML_BINARY ? 1 : output]);
}

static void
put_rows(ReturnSetInfo *result, const SqlmlModel *model, const double *contributions)
{
	Datum	   *names = palloc0(sizeof(Datum) * (model->column_count + 1));

	for (uint32_t i = 0; i < model->column_count; i++)
		names[i] = make_text(model->columns[i].name);
	for (uint32_t k = 0; k < model->output_count; k++)
	{
		bool		has_class = model->problem != SQLML_REGRESSION;
		Datum		class = has_class ? make_class(model, k) : (Datum) 0;

		for (uint32_t i = 0; i <= model->column_count; i++)
		{
			Datum		row[] = {class, names[i], Float8GetDatum(*contributions++)};
			bool		nulls[] = {!has_class, i == model->column_count, false};

			tuplestore_putvalues(result->setResult, result->setDesc, row, nulls);
		}
	}
}

/*
 * explain_prediction(model text, features anyelement)
 */
Datum
sqlml_explain_prediction(PG_FUNCTION_ARGS)
{
	const SqlmlValue *values;
	const Scorer *scorer;

	/* a descriptor looked up anew would leave memory behind with every row */
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	scorer = read_call(fcinfo, &values);
	put_rows((ReturnSetInfo *) fcinfo->resultinfo, scorer->model, contribute(scorer, values));
	return (Datum) 0;
}
