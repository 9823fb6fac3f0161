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

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "glue.h"

PG_FUNCTION_INFO_V1(sqlml_predict_support);
PG_FUNCTION_INFO_V1(sqlml_predict_proba_support);

/* What is known of a row while a query is planned: either a row type or two lists */
typedef struct Row
{
	TupleDesc	type;			/* of a variable, a constant or a typed ROW() */
	Oid			relation;		/* whose row type that is, or invalid */
	const Var  *variable;		/* whole-row, of that type */
	Datum	   *constants;		/* of a constant of that type */
	bool	   *nulls;
	List	   *names;			/* String nodes; NIL where there is a type */
	List	   *fields;			/* expressions */
} Row;

/* The versions of one planning: a query has one of each model, whatever happens meanwhile */
typedef struct PlannedVersion
{
	char	   *model_name;
	int64		version_id;
} PlannedVersion;

static PlannerGlobal *planning = NULL;
static MemoryContext planning_context = NULL;
static List *planned_versions = NIL;

static bool
is_whole_row(Node *node, const Var *other)
{
	Var		   *var = (Var *) node;

	return IsA(node, Var) && var->varattno == InvalidAttrNumber && var->varlevelsup == 0 &&
		var->varno == other->varno;
}

static bool
has_whole_row(Node *node, void *var)
{
	if (node == NULL || IsA(node, Query))
		return false;
	return is_whole_row(node, var) || expression_tree_walker(node, has_whole_row, var);
}

static bool
has_whole_row_in_exists(Node *node, void *var)
{
	SubLink    *link = (SubLink *) node;

	if (node == NULL || IsA(node, Query))
		return false;
	if (IsA(node, SubLink) && link->subLinkType == EXISTS_SUBLINK &&
		has_whole_row(((Query *) link->subselect)->jointree->quals, var))
		return true;
	return expression_tree_walker(node, has_whole_row_in_exists, var);
}

/*
 * Whether the variable may belong to another query than the planner says: it
 * simplifies the condition of an EXISTS while it plans the query around it
 */
static bool
may_be_of_exists(PlannerInfo *root, const Var *var)
{
	if (!root->parse->hasSubLinks)
		return false;
	return query_tree_walker(root->parse, has_whole_row_in_exists, unconstify(Var *, var),
							 QTW_IGNORE_RT_SUBQUERIES | QTW_IGNORE_CTE_SUBQUERIES) ||
		expression_tree_walker((Node *) root->append_rel_list, has_whole_row_in_exists,
							   unconstify(Var *, var));
}

#if PG_VERSION_NUM < 160000
/*
 * Whether an outer join below the node may put NULL for the relation
 */
static bool
is_nullable_in(Node *node, Index varno, bool is_nullable)
{
	ListCell   *cell;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblRef))
		return is_nullable && ((RangeTblRef *) node)->rtindex == (int) varno;
	if (IsA(node, FromExpr))
	{
		foreach(cell, ((FromExpr *) node)->fromlist)
			if (is_nullable_in(lfirst(cell), varno, is_nullable))
				return true;
	}
	else
	{
		JoinExpr   *join = castNode(JoinExpr, node);
		bool		is_left = join->jointype == JOIN_RIGHT || join->jointype == JOIN_FULL;
		bool		is_right = join->jointype == JOIN_LEFT || join->jointype == JOIN_FULL;

		return is_nullable_in(join->larg, varno, is_nullable || is_left) ||
			is_nullable_in(join->rarg, varno, is_nullable || is_right);
	}
	return false;
}
#endif

/*
 * Whether the row may be NULL, for which the prediction is NULL. The columns
 * of a NULL row could not be told from those of a row of NULLs.
 */
static bool
may_be_null(PlannerInfo *root, const Var *var)
{
	if (root->parse->groupingSets != NIL)
		return true;
#if PG_VERSION_NUM >= 180000
	if (var->varreturningtype != VAR_RETURNING_DEFAULT)
		return true;
#endif
#if PG_VERSION_NUM >= 160000
	return !bms_is_empty(var->varnullingrels);
#else
	return is_nullable_in((Node *) root->parse->jointree, var->varno, false);
#endif
}

/*
 * The names and variables of a relation without a row type; false where they are not known
 */
static bool
expand_relation(PlannerInfo *root, const Var *var, Row *row)
{
	RangeTblEntry *relation;

	if (var->varno < 1 || var->varno > list_length(root->parse->rtable))
		return false;
	relation = rt_fetch(var->varno, root->parse->rtable);
	switch (relation->rtekind)
	{
		case RTE_SUBQUERY:
			if (relation->subquery == NULL)
				return false;
			break;
		case RTE_FUNCTION:
		case RTE_TABLEFUNC:
		case RTE_VALUES:
		case RTE_CTE:
		case RTE_NAMEDTUPLESTORE:
			break;
		default:
			return false;
	}
#if PG_VERSION_NUM >= 180000
	expandRTE(relation, var->varno, 0, VAR_RETURNING_DEFAULT, var->location, false,
			  &row->names, &row->fields);
#else
	expandRTE(relation, var->varno, 0, var->location, false, &row->names, &row->fields);
#endif
	return true;
}

static void
set_row_type(Row *row, Oid type, int32 typmod)
{
	row->type = lookup_rowtype_tupdesc_copy(type, typmod);
	row->relation = typeidTypeRelid(type);
}

static bool
describe_variable(PlannerInfo *root, const Var *var, Row *row)
{
	if (var->varattno != InvalidAttrNumber || var->varlevelsup != 0 || IS_SPECIAL_VARNO(var->varno))
		return false;
	if (may_be_null(root, var) || may_be_of_exists(root, var))
		return false;
	if (var->vartype == RECORDOID)
		return expand_relation(root, var, row);
	if (!type_is_rowtype(var->vartype))
		return false;
	row->variable = var;
	set_row_type(row, getBaseType(var->vartype), -1);
	return true;
}

static bool
describe_row_expression(const RowExpr *expression, Row *row)
{
	/* fields that the model does not use would no longer be evaluated */
	if (contain_volatile_functions((Node *) expression->args))
		return false;
	row->fields = expression->args;
	if (expression->row_typeid != RECORDOID)
		set_row_type(row, getBaseType(expression->row_typeid), -1);
	else
		row->names = expression->colnames;
	return row->type != NULL || list_length(row->names) == list_length(row->fields);
}

static bool
describe_constant(const Const *constant, Row *row)
{
	HeapTupleHeader record;
	HeapTupleData tuple;

	if (constant->constisnull || !type_is_rowtype(constant->consttype))
		return false;
	record = DatumGetHeapTupleHeader(constant->constvalue);
	set_row_type(row, HeapTupleHeaderGetTypeId(record), HeapTupleHeaderGetTypMod(record));
	tuple.t_len = HeapTupleHeaderGetDatumLength(record);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = record;
	row->constants = palloc(sizeof(Datum) * row->type->natts);
	row->nulls = palloc(sizeof(bool) * row->type->natts);
	heap_deform_tuple(&tuple, row->type, row->constants, row->nulls);
	return true;
}

/*
 * Say what is known of a row; false where it is too little to rewrite the call
 */
static bool
describe_row(PlannerInfo *root, Node *node, Row *row)
{
	memset(row, 0, sizeof(Row));
	if (IsA(node, Var))
		return describe_variable(root, (Var *) node, row);
	if (IsA(node, RowExpr))
		return describe_row_expression((RowExpr *) node, row);
	if (IsA(node, Const))
		return describe_constant((Const *) node, row);
	return false;
}

static const char *
get_field_name(const Row *row, int field)
{
	if (row->type == NULL)
		return strVal(list_nth(row->names, field));
	if (TupleDescAttr(row->type, field)->attisdropped)
		return NULL;
	return NameStr(TupleDescAttr(row->type, field)->attname);
}

/*
 * Find a field by its name; the one that is likely to have it is looked at first
 */
static int
find_field(const Row *row, const char *name, int likely, const char *model_name)
{
	int			count = row->type != NULL ? row->type->natts : list_length(row->names);
	int			found = -1;

	for (int i = 0; i < count; i++)
	{
		int			field = (likely + i) % count;
		const char *field_name = get_field_name(row, field);

		if (field_name == NULL || strcmp(field_name, name) != 0)
			continue;
		if (found >= 0)
			refuse_double_column(name);
		found = field;
		/* the names of a table are all different */
		if (row->variable != NULL)
			break;
	}
	if (found < 0)
		refuse_missing_column(name, model_name);
	return found;
}

static Node *
make_field(const Row *row, int field)
{
	Form_pg_attribute attribute;
	Var		   *var;

	/* a row type may have got columns since ROW() was written */
	if (row->fields != NIL && field < list_length(row->fields))
		return list_nth(row->fields, field);
	attribute = TupleDescAttr(row->type, field);
	if (row->variable != NULL)
	{
		var = makeVar(row->variable->varno, (AttrNumber) (field + 1), attribute->atttypid,
					  attribute->atttypmod, attribute->attcollation, 0);
		var->location = row->variable->location;
		return (Node *) var;
	}
	if (row->constants != NULL && !row->nulls[field])
		return (Node *) makeConst(attribute->atttypid, attribute->atttypmod,
								  attribute->attcollation, attribute->attlen,
								  row->constants[field], false, attribute->attbyval);
	return (Node *) makeNullConst(attribute->atttypid, attribute->atttypmod,
								  attribute->attcollation);
}

/*
 * The fields that a model wants, in its order
 */
static List *
match_columns(const Row *row, const SqlmlModel *model, const char *model_name)
{
	List	   *matched = NIL;
	int			field = -1;

	for (uint32_t i = 0; i < model->column_count; i++)
	{
		const SqlmlColumn *column = &model->columns[i];
		const char *name = text_to_server(column->name);
		Node	   *node;

		field = find_field(row, name, field + 1, model_name);
		node = make_field(row, field);
		if (find_conversion(getBaseType(exprType(node)), column->kind) == CONVERT_NOT_POSSIBLE)
			refuse_column_type(name, exprType(node), model_name, column);
		matched = lappend(matched, node);
	}
	return matched;
}

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
make_call(const CachedModel *cached, int64 version_id, Oid function, Node *third, const Row *row,
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
		const Row *row)
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
	Row			row;

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
