/*
 * result.c
 *	  Predictions in the type that was asked for.
 *
 * A label goes through the type's input function, once a class. A number goes
 * through PostgreSQL's own cast, or through its text for types without one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "glue.h"

struct ResultPlan
{
	const SqlmlModel *model;
	MemoryContext context;
	Oid			type;
	bool		is_domain;
	PGFunction	cast;			/* from float8, or NULL */
	FmgrInfo	input;
	Oid			input_parameter;
	Datum	   *labels;			/* by class, valid where is_made says so */
	bool	   *is_made;
	void	   *domain_cache;
};

typedef struct CastRule
{
	Oid			type;
	PGFunction	cast;
} CastRule;

static Datum
keep_float8(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

static const CastRule CASTS[] = {
	{FLOAT8OID, keep_float8},
	{FLOAT4OID, dtof},
	{INT2OID, dtoi2},
	{INT4OID, dtoi4},
	{INT8OID, dtoi8},
	{NUMERICOID, float8_numeric},
};

/*
 * Plan how to give predictions of a model in a type
 */
ResultPlan *
make_result_plan(const SqlmlModel *model, Oid type)
{
	ResultPlan *plan = palloc0(sizeof(ResultPlan));
	Oid			base_type = getBaseType(type);
	Oid			function;

	plan->model = model;
	plan->context = CurrentMemoryContext;
	plan->type = type;
	plan->is_domain = base_type != type;
	for (size_t i = 0; i < lengthof(CASTS); i++)
		if (CASTS[i].type == base_type)
			plan->cast = CASTS[i].cast;
	getTypeInputInfo(type, &function, &plan->input_parameter);
	fmgr_info(function, &plan->input);
	plan->labels = palloc0(sizeof(Datum) * (model->class_count + 1));
	plan->is_made = palloc0(sizeof(bool) * (model->class_count + 1));
	return plan;
}

static Datum
get_label(ResultPlan *plan, uint32_t class_index)
{
	if (!plan->is_made[class_index])
	{
		MemoryContext caller = MemoryContextSwitchTo(plan->context);
		char	   *label = text_to_server(plan->model->classes[class_index]);

		plan->labels[class_index] = InputFunctionCall(&plan->input, label,
													  plan->input_parameter, -1);
		plan->is_made[class_index] = true;
		MemoryContextSwitchTo(caller);
	}
	return plan->labels[class_index];
}

static Datum
make_number(ResultPlan *plan, double number)
{
	Datum		datum;
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (plan->cast == NULL)
	{
		/* not float8out, which extra_float_digits changes */
		double_to_shortest_decimal_buf(number, digits);
		return InputFunctionCall(&plan->input, digits, plan->input_parameter, -1);
	}
	datum = DirectFunctionCall1(plan->cast, Float8GetDatum(number));
	if (plan->is_domain)
		domain_check(datum, false, plan->type, &plan->domain_cache, plan->context);
	return datum;
}

/*
 * Make the prediction that raw scores mean
 */
Datum
make_result(ResultPlan *plan, const double *scores)
{
	if (plan->model->problem == SQLML_REGRESSION)
		return make_number(plan, sqlml_value(plan->model, scores));
	return get_label(plan, sqlml_choose_class(plan->model, scores));
}
