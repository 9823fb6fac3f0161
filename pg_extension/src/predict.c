/*
 * predict.c
 *	  The SQL functions that predict from a row or a JSON object.
 *
 * What a query needs again and again is kept in fn_extra: the version, asked
 * for once a snapshot, and the plans for its rows and results. Where a plan is
 * made, support.c turns most calls into calls of the functions in columns.c.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "glue.h"

PG_FUNCTION_INFO_V1(sqlml_predict);
PG_FUNCTION_INFO_V1(sqlml_predict_proba);

/* Two equal ones see the same catalogue as the same user */
typedef struct SnapshotKey
{
	Oid			user;
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
} SnapshotKey;

typedef struct PredictState
{
	bool		is_ready;
	char	   *model_argument;
	SnapshotKey snapshot;
	Scorer		scorer;
	RowPlan    *row;			/* in the scorer's context */
} PredictState;

static PredictState *
get_state(FmgrInfo *flinfo)
{
	PredictState *state = flinfo->fn_extra;

	if (state != NULL)
		return state;
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(PredictState));
	init_scorer(&state->scorer, flinfo->fn_mcxt);
	flinfo->fn_extra = state;
	return state;
}

static SnapshotKey
get_snapshot_key(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SnapshotKey key = {
		GetUserId(),
		snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->subxcnt, snapshot->curcid
	};

	return key;
}

static bool
is_same_snapshot(SnapshotKey left, SnapshotKey right)
{
	return left.user == right.user &&
		left.xmin == right.xmin && left.xmax == right.xmax && left.xcnt == right.xcnt &&
		left.subxcnt == right.subxcnt && left.curcid == right.curcid;
}

/*
 * The model's own name out of what may be a qualified identifier
 */
char *
make_display_name(const char *argument)
{
	List	   *parts;

	if (SplitIdentifierString(pstrdup(argument), '.', &parts) && parts != NIL)
		return pstrdup(llast(parts));
	return pstrdup(argument);
}

/*
 * Turn to another version
 */
static void
change_version(PredictState *state, FmgrInfo *flinfo, int64 version_id)
{
	Scorer	   *scorer = &state->scorer;
	MemoryContext caller;

	state->row = NULL;
	open_scorer(scorer, version_id, make_display_name(state->model_argument));
	caller = MemoryContextSwitchTo(scorer->context);
	state->row = make_row_plan(scorer->model, scorer->model_name, get_fn_expr_argtype(flinfo, 1));
	MemoryContextSwitchTo(caller);
}

/*
 * Be ready for the model that the first argument names
 */
static void
prepare_model(PredictState *state, FmgrInfo *flinfo, const text *argument)
{
	SnapshotKey snapshot = get_snapshot_key();
	bool		is_same_name = is_text(state->model_argument, argument);
	int64		version_id;

	if (state->is_ready && is_same_name && is_same_snapshot(state->snapshot, snapshot))
		return;
	state->is_ready = false;
	if (!is_same_name)
	{
		/* messages name the model as it is called now */
		close_scorer(&state->scorer);
		state->row = NULL;
		if (state->model_argument != NULL)
			pfree(state->model_argument);
		state->model_argument = NULL;
		state->model_argument = MemoryContextStrdup(flinfo->fn_mcxt, text_to_cstring(argument));
	}
	version_id = find_version(state->model_argument);
	/* without a row plan an error cut the last change short */
	if (state->row == NULL || !is_current(state->scorer.cached, version_id))
		change_version(state, flinfo, version_id);
	state->snapshot = snapshot;
	state->is_ready = true;
}

/*
 * Read the row for the model, after both were found not to be NULL
 */
Scorer *
read_call(FunctionCallInfo fcinfo, const SqlmlValue **values)
{
	PredictState *state = get_state(fcinfo->flinfo);

	CHECK_FOR_INTERRUPTS();
	prepare_model(state, fcinfo->flinfo, PG_GETARG_TEXT_PP(0));
	*values = read_row(state->row, PG_GETARG_DATUM(1));
	return &state->scorer;
}

static Scorer *
score(FunctionCallInfo fcinfo)
{
	const SqlmlValue *values;
	Scorer	   *scorer = read_call(fcinfo, &values);

	score_values(scorer, values);
	return scorer;
}

/*
 * predict(model text, features anyelement [, type anycompatible])
 */
Datum
sqlml_predict(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(get_prediction(score(fcinfo), fcinfo->flinfo));
}

/*
 * predict_proba(model text, features anyelement, class text)
 */
Datum
sqlml_predict_proba(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(get_probability(score(fcinfo), PG_GETARG_TEXT_PP(2)));
}
