/*
 * known_row.c
 *	  What is known of a row while a query is planned, and its columns.
 *
 * Only rows that cannot be NULL are known here: a NULL row has a NULL
 * prediction, and its columns could not be told from those of a row of NULLs.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "known_row.h"

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
 * Whether an outer join or a grouping set may make the row NULL
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
expand_relation(PlannerInfo *root, const Var *var, KnownRow *row)
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
set_row_type(KnownRow *row, Oid type, int32 typmod)
{
	row->type = lookup_rowtype_tupdesc_copy(type, typmod);
	row->relation = typeidTypeRelid(type);
}

static bool
describe_variable(PlannerInfo *root, const Var *var, KnownRow *row)
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
describe_row_expression(const RowExpr *expression, KnownRow *row)
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
describe_constant(const Const *constant, KnownRow *row)
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
bool
describe_row(PlannerInfo *root, Node *node, KnownRow *row)
{
	memset(row, 0, sizeof(KnownRow));
	if (IsA(node, Var))
		return describe_variable(root, (Var *) node, row);
	if (IsA(node, RowExpr))
		return describe_row_expression((RowExpr *) node, row);
	if (IsA(node, Const))
		return describe_constant((Const *) node, row);
	return false;
}

static const char *
get_field_name(const KnownRow *row, int field)
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
find_field(const KnownRow *row, const char *name, int likely, const char *model_name)
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
		refuse_missing_column(name, count > 0 ? get_field_name(row, 0) : NULL, model_name);
	return found;
}

static Node *
make_field(const KnownRow *row, int field)
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
List *
match_columns(const KnownRow *row, const SqlmlModel *model, const char *model_name)
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
