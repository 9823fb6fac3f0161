/*
 * predict.c
 *	  The SQL functions that predict.
 *
 * What a query needs again and again is kept in fn_extra: the version, asked
 * for once a snapshot, and the plans for its rows and results.
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

#define MAX_LISTED_CLASSES 20

/* Two equal ones see the same catalogue */
typedef struct SnapshotKey
{
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
	CachedModel *cached;		/* pinned, or NULL */
	MemoryContextCallback unpin;
	MemoryContext context;		/* everything from here on, reset with the version */
	char	   *model_name;		/* for messages */
	const SqlmlModel *model;
	RowPlan    *row;
	ResultPlan *result;			/* predict only */
	SqlmlWorkspace *workspace;
	double	   *scores;
	char	   *label;			/* predict_proba only */
	uint32_t	class_index;
} PredictState;

static void
unpin_state(void *argument)
{
	PredictState *state = argument;

	if (state->cached != NULL)
		unpin_model(state->cached);
	state->cached = NULL;
}

static PredictState *
get_state(FmgrInfo *flinfo)
{
	PredictState *state = flinfo->fn_extra;

	if (state != NULL)
		return state;
	state = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(PredictState));
	state->context = AllocSetContextCreate(flinfo->fn_mcxt, "sqlml predict",
										   ALLOCSET_SMALL_SIZES);
	state->unpin.func = unpin_state;
	state->unpin.arg = state;
	MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &state->unpin);
	flinfo->fn_extra = state;
	return state;
}

static SnapshotKey
get_snapshot_key(void)
{
	Snapshot	snapshot = GetActiveSnapshot();
	SnapshotKey key = {
		snapshot->xmin, snapshot->xmax, snapshot->xcnt, snapshot->subxcnt, snapshot->curcid
	};

	return key;
}

static bool
is_same_snapshot(SnapshotKey left, SnapshotKey right)
{
	return left.xmin == right.xmin && left.xmax == right.xmax && left.xcnt == right.xcnt &&
		left.subxcnt == right.subxcnt && left.curcid == right.curcid;
}

static bool
is_text(const char *string, const text *packed)
{
	return string != NULL && strlen(string) == VARSIZE_ANY_EXHDR(packed) &&
		memcmp(string, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed)) == 0;
}

/*
 * The model's own name out of what may be a qualified identifier
 */
static char *
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
	MemoryContext caller;

	unpin_state(state);
	MemoryContextReset(state->context);
	caller = MemoryContextSwitchTo(state->context);
	state->label = NULL;
	state->result = NULL;
	state->row = NULL;
	state->model_name = make_display_name(state->model_argument);
	state->cached = pin_model(version_id, state->model_name);
	state->model = get_core_model(state->cached);
	state->workspace = sqlml_make_workspace(state->model,
											palloc(sqlml_workspace_size(state->model)));
	state->scores = palloc0(sizeof(double) * state->model->output_count);
	state->row = make_row_plan(state->model, state->model_name, get_fn_expr_argtype(flinfo, 1));
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
		unpin_state(state);
		if (state->model_argument != NULL)
			pfree(state->model_argument);
		state->model_argument = NULL;
		state->model_argument = MemoryContextStrdup(flinfo->fn_mcxt, text_to_cstring(argument));
	}
	version_id = find_version(state->model_argument);
	/* without a row plan an error cut the last change short */
	if (state->cached == NULL || state->row == NULL || !is_current(state->cached, version_id))
		change_version(state, flinfo, version_id);
	state->snapshot = snapshot;
	state->is_ready = true;
}

/*
 * Score the row, after the model and the row were found not to be NULL
 */
static PredictState *
score(FunctionCallInfo fcinfo)
{
	PredictState *state = get_state(fcinfo->flinfo);

	CHECK_FOR_INTERRUPTS();
	prepare_model(state, fcinfo->flinfo, PG_GETARG_TEXT_PP(0));
	sqlml_score(state->model, read_row(state->row, PG_GETARG_DATUM(1)), state->workspace,
				state->scores);
	return state;
}

/*
 * predict(model text, features anyelement [, type anycompatible])
 */
Datum
sqlml_predict(PG_FUNCTION_ARGS)
{
	PredictState *state;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	state = score(fcinfo);
	if (state->result == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(state->context);

		state->result = make_result_plan(state->model, get_fn_expr_rettype(fcinfo->flinfo));
		MemoryContextSwitchTo(caller);
	}
	PG_RETURN_DATUM(make_result(state->result, state->scores));
}

static char *
list_classes(const SqlmlModel *model)
{
	StringInfoData list;

	initStringInfo(&list);
	for (uint32_t k = 0; k < Min(model->class_count, MAX_LISTED_CLASSES); k++)
		appendStringInfo(&list, "%s%s", k > 0 ? ", " : "", text_to_server(model->classes[k]));
	appendStringInfoString(&list, model->class_count > MAX_LISTED_CLASSES ? ", ..." : ".");
	return list.data;
}

/*
 * Find the class that the third argument names
 */
static void
prepare_class(PredictState *state, const text *label)
{
	SqlmlText	utf8 = text_from_server(VARDATA_ANY(label), (int) VARSIZE_ANY_EXHDR(label));
	int64_t		class_index;

	if (state->model->problem == SQLML_REGRESSION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("model \"%s\" is a regression and has no probabilities",
						state->model_name),
				 errhint("Use sqlml.predict for its value.")));
	class_index = sqlml_find_class(state->model, utf8);
	if (class_index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model \"%s\" has no class \"%s\"", state->model_name,
						text_to_cstring(label)),
				 errdetail("The classes are: %s", list_classes(state->model))));
	state->class_index = (uint32_t) class_index;
	state->label = MemoryContextStrdup(state->context, text_to_cstring(label));
}

/*
 * predict_proba(model text, features anyelement, class text)
 */
Datum
sqlml_predict_proba(PG_FUNCTION_ARGS)
{
	PredictState *state;
	const text *label;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	state = score(fcinfo);
	label = PG_GETARG_TEXT_PP(2);
	if (!is_text(state->label, label))
		prepare_class(state, label);
	PG_RETURN_FLOAT8(sqlml_probability(state->model, state->scores, state->class_index));
}
