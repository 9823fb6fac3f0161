/*
 * support.c
 *	  Calls of predict() become calls on just the columns of the model, when a
 *	  query is planned.
 *
 * The planner asks us about every call. Where the model is a constant and the
 * row is a variable or an expression whose columns are known, the answer is a
 * call of a function of columns.c: the version is looked up once, the columns
 * are matched by name and checked, and the row is never built. Every other
 * call stays as it is, and predict.c answers it with the same values.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "known_row.h"

PG_FUNCTION_INFO_V1(sqlml_predict_support);
PG_FUNCTION_INFO_V1(sqlml_predict_proba_support);

/* The versions of one planning: a query has one of each model, whatever happens meanwhile */
typedef struct PlannedVersion
{
	char	   *model_name;
	int64		version_id;
} PlannedVersion;

static PlannerGlobal *planning = NULL;
static MemoryContext planning_context = NULL;
static List *planned_versions = NIL;

/*
 * The version of a model for this planning
 */
static int64
plan_version(PlannerInfo *root, const char *model_name)
{
	MemoryContext caller;
	PlannedVersion *planned;
	ListCell   *cell;

	if (planning_context == NULL)
		planning_context = AllocSetContextCreate(TopMemoryContext, "sqlml planning",
												 ALLOCSET_SMALL_SIZES);
	/* another planning may have its state at the same address, but it depends on nothing yet */
	if (planning != root->glob ||
		!list_member_oid(root->glob->relationOids, get_model_relation()))
	{
		planned_versions = NIL;
		MemoryContextReset(planning_context);
		planning = root->glob;
	}
	foreach(cell, planned_versions)
	{
		planned = lfirst(cell);
		if (strcmp(planned->model_name, model_name) == 0)
			return planned->version_id;
	}
	note_planned_version();
	caller = MemoryContextSwitchTo(planning_context);
	planned = palloc(sizeof(PlannedVersion));
	planned->model_name = pstrdup(model_name);
	MemoryContextSwitchTo(caller);
	planned->version_id = find_version(model_name);
	MemoryContextSwitchTo(planning_context);
	planned_versions = lappend(planned_versions, planned);
	MemoryContextSwitchTo(caller);
	return planned->version_id;
}

/*
 * Have the plan made anew when another version may answer, when another user asks, and when
 * the row's type changes, which PostgreSQL does not see to where the row is no table's
 */
static void
add_dependencies(PlannerInfo *root, Oid predict_function, Oid row_relation)
{
	PlannerGlobal *glob = root->glob;
	MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(glob));

	glob->relationOids = list_append_unique_oid(glob->relationOids, get_model_relation());
	if (OidIsValid(row_relation))
		glob->relationOids = list_append_unique_oid(glob->relationOids, row_relation);
	record_plan_function_dependency(root, predict_function);
	glob->dependsOnRole = true;
	MemoryContextSwitchTo(caller);
}

static Oid
find_function(const char *name, Oid third)
{
	Oid			types[] = {TEXTOID, INT4OID, third, ANYOID};

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						   PointerGetDatum(buildoidvector(types, lengthof(types))),
						   ObjectIdGetDatum(get_namespace_oid("sqlml", true)));
}

/*
 * Write the call on columns, of which the third argument is the type or the
 * class; NULL where it would have too many arguments
 */
static FuncExpr *
make_call(const CachedModel *cached, int64 version_id, Oid function, Node *third, const KnownRow *row,
		  const char *model_name)
{
	const SqlmlModel *model = get_core_model(cached);
	List	   *columns;
	List	   *arguments;
	Datum		label;

	if (model->column_count > FUNC_MAX_ARGS - ARGUMENTS_BEFORE_COLUMNS)
		return NULL;
	columns = match_columns(row, model, model_name);
	label = CStringGetTextDatum(get_model_facts(cached)->label);
	arguments = list_make3(makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1, label, false, false),
						   makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
									 Int32GetDatum((int32) version_id), false, true),
						   third);
	return makeFuncExpr(function, InvalidOid, list_concat(arguments, columns), InvalidOid,
						InvalidOid, COERCE_EXPLICIT_CALL);
}

/*
 * Write the call for the version that answers now. The model is opened, since
 * its columns are not known otherwise; the query will need it anyway.
 */
static FuncExpr *
rewrite(PlannerInfo *root, const char *model_argument, Oid function, Node *third, bool is_proba,
		const KnownRow *row)
{
	int64		version_id = plan_version(root, model_argument);
	const char *model_name = make_display_name(model_argument);
	CachedModel *cached = pin_model(version_id, model_name);
	FuncExpr   *volatile call = NULL;

	PG_TRY();
	{
		if (is_proba && IsA(third, Const))
			find_class(get_core_model(cached), model_name,
					   DatumGetTextPP(((Const *) third)->constvalue));
		call = make_call(cached, version_id, function, third, row, model_name);
		if (call != NULL)
			add_dependencies(root, find_predict_function(get_model_facts(cached)), row->relation);
	}
	PG_FINALLY();
	{
		unpin_model(cached);
	}
	PG_END_TRY();
	return call;
}

static bool
is_null_constant(Node *node)
{
	return IsA(node, Const) && ((Const *) node)->constisnull;
}

/*
 * Rewrite a call of predict() or predict_proba(); NULL leaves it as it is
 */
static Node *
rewrite_call(const SupportRequestSimplify *request, bool is_proba)
{
	const FuncExpr *old = request->fcall;
	Node	   *model = linitial(old->args);
	Node	   *third = list_length(old->args) > 2 ? lthird(old->args) : NULL;
	Oid			function;
	FuncExpr   *call;
	KnownRow	row;

	if (request->root == NULL || !IsA(model, Const) || is_null_constant(model))
		return NULL;
	/* without a class there is nothing to ask; what only gives a type is evaluated no more */
	if (third != NULL &&
		(is_proba ? is_null_constant(third) : contain_volatile_functions(third)))
		return NULL;
	function = find_function(is_proba ? "predict_proba_columns" : "predict_columns",
							 is_proba ? TEXTOID : ANYELEMENTOID);
	/* a privilege that is missing is reported where the function is called */
	if (!OidIsValid(function) || !may_execute(old->funcid) ||
		!describe_row(request->root, lsecond(old->args), &row))
		return NULL;
	if (!is_proba)
		third = (Node *) makeNullConst(old->funcresulttype, -1, old->funccollid);
	call = rewrite(request->root, TextDatumGetCString(((Const *) model)->constvalue), function,
				   third, is_proba, &row);
	if (call == NULL)
		return NULL;
	call->funcresulttype = old->funcresulttype;
	call->funccollid = old->funccollid;
	call->inputcollid = old->inputcollid;
	call->location = old->location;
	return (Node *) call;
}

/*
 * What the planner asks about predict()
 */
Datum
sqlml_predict_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *answer = NULL;

	if (IsA(request, SupportRequestSimplify))
		answer = rewrite_call((SupportRequestSimplify *) request, false);
	PG_RETURN_POINTER(answer);
}

/*
 * What the planner asks about predict_proba()
 */
Datum
sqlml_predict_proba_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *answer = NULL;

	if (IsA(request, SupportRequestSimplify))
		answer = rewrite_call((SupportRequestSimplify *) request, true);
	PG_RETURN_POINTER(answer);
}
