/*
 * receiver.c
 *	  Takes the rows of a portal out of the executor's slots and scores them.
 *
 * Nothing is copied but the answers. All memory belongs to the portal.
 */
#include "server.h"

#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct SlotColumn
{
	int			attribute;		/* counted from 0 */
	Conversion	conversion;
	FmgrInfo	output;
} SlotColumn;

struct Receiver
{
	DestReceiver destination;	/* must be first */
	const SqlmlModel *model;
	const char *model_name;		/* in the server's encoding */
	Row			row;
	Wanted		wanted;
	MemoryContext context;
	MemoryContext row_context;	/* reset after each row */
	bool		is_bound;
	int			attribute_count;	/* as many as are needed */
	SlotColumn *columns;
	SlotColumn	key;
	void		(*answer) (Receiver *receiver, TupleTableSlot *slot);
	uint64		row_count;		/* of the batch */
	StringInfoData keys;
	StringInfoData answers;
	StringInfoData *labels;		/* of each class, quoted */
	Summary    *summary;
};

/*
 * Find the only column of a name, or give -1
 */
static int
find_attribute(TupleDesc row_type, const char *name)
{
	int			found = -1;

	for (int i = 0; i < row_type->natts; i++)
	{
		if (strcmp(NameStr(TupleDescAttr(row_type, i)->attname), name) != 0)
			continue;
		if (found >= 0)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("the query has two columns \"%s\"", name)));
		found = i;
	}
	return found;
}

static void
find_output(SlotColumn *column, Oid type)
{
	Oid			function;
	bool		is_varlena;

	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info(function, &column->output);
}

static void
bind_column(Receiver *receiver, TupleDesc row_type, const SqlmlColumn *expected,
			SlotColumn *column)
{
	const char *name = text_to_server(expected->name);
	Oid			type;

	column->attribute = find_attribute(row_type, name);
	if (column->attribute < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the query has no column \"%s\"", name),
				 errhint("Model \"%s\" was trained with that column; add it to the query, NULL if it is not known.",
						 receiver->model_name)));
	type = TupleDescAttr(row_type, column->attribute)->atttypid;
	column->conversion = find_conversion(getBaseType(type), expected->kind);
	if (column->conversion == CONVERT_NOT_POSSIBLE)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the query has type %s, but model \"%s\" expects %s",
						name, format_type_be(type), receiver->model_name,
						text_to_server(expected->type_name))));
	if (column->conversion == CONVERT_OUTPUT)
		find_output(column, getBaseType(type));
}

static void
bind_key(Receiver *receiver, TupleDesc row_type)
{
	const char *name = pg_any_to_server(receiver->wanted.key,
										(int) strlen(receiver->wanted.key), PG_UTF8);

	receiver->key.attribute = find_attribute(row_type, name);
	if (receiver->key.attribute < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the query has no column \"%s\"", name),
				 errhint("The key must be a column of the query.")));
	find_output(&receiver->key, TupleDescAttr(row_type, receiver->key.attribute)->atttypid);
	receiver->attribute_count = Max(receiver->attribute_count, receiver->key.attribute + 1);
}

/*
 * Match the model's columns with the query's, before the first row
 */
static void
start(DestReceiver *destination, int operation, TupleDesc row_type)
{
	Receiver   *receiver = (Receiver *) destination;
	MemoryContext caller;

	(void) operation;
	if (receiver->is_bound)
		return;
	caller = MemoryContextSwitchTo(receiver->context);
	for (uint32_t i = 0; i < receiver->model->column_count; i++)
	{
		bind_column(receiver, row_type, &receiver->model->columns[i], &receiver->columns[i]);
		receiver->attribute_count = Max(receiver->attribute_count,
										receiver->columns[i].attribute + 1);
	}
	if (receiver->wanted.key != NULL)
		bind_key(receiver, row_type);
	MemoryContextSwitchTo(caller);
	receiver->is_bound = true;
}

static bool
receive(TupleTableSlot *slot, DestReceiver *destination)
{
	Receiver   *receiver = (Receiver *) destination;
	MemoryContext caller = MemoryContextSwitchTo(receiver->row_context);

	CHECK_FOR_INTERRUPTS();
	slot_getsomeattrs(slot, receiver->attribute_count);
	for (uint32_t i = 0; i < receiver->model->column_count; i++)
	{
		SlotColumn *column = &receiver->columns[i];
		SqlmlValue *value = &receiver->row.values[i];

		if (slot->tts_isnull[column->attribute])
			value->is_missing = true;
		else
			convert_datum(column->conversion, &column->output,
						  slot->tts_values[column->attribute], value);
	}
	sqlml_score(receiver->model, receiver->row.values, receiver->row.workspace,
				receiver->row.scores);
	receiver->answer(receiver, slot);
	receiver->row_count++;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(receiver->row_context);
	return true;
}

static void
ignore(DestReceiver *destination)
{
	(void) destination;
}

/*
 * Append an item to a literal of text[], quoted
 */
static void
append_quoted(StringInfo list, SqlmlText text)
{
	appendStringInfoChar(list, '"');
	for (uint32_t i = 0; i < text.size; i++)
	{
		if (text.data[i] == '"' || text.data[i] == '\\')
			appendStringInfoChar(list, '\\');
		appendStringInfoChar(list, text.data[i]);
	}
	appendStringInfoString(list, "\",");
}

static void
append_key(Receiver *receiver, TupleTableSlot *slot)
{
	int			attribute = receiver->key.attribute;
	const char *string;

	if (slot->tts_isnull[attribute])
	{
		appendStringInfoString(&receiver->keys, "NULL,");
		return;
	}
	string = OutputFunctionCall(&receiver->key.output, slot->tts_values[attribute]);
	append_quoted(&receiver->keys, text_from_server(string, (int) strlen(string)));
}

static void
append_number(Receiver *receiver, double number)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];
	int			size = double_to_shortest_decimal_buf(number, digits);

	digits[size] = ',';
	appendBinaryStringInfo(&receiver->answers, digits, size + 1);
}

/*
 * Answers that go into a batch
 */
static void
add_to_batch(Receiver *receiver, TupleTableSlot *slot)
{
	const SqlmlModel *model = receiver->model;
	const double *scores = receiver->row.scores;

	if (receiver->wanted.key != NULL)
		append_key(receiver, slot);
	if (receiver->wanted.class_index >= 0)
		append_number(receiver,
					  sqlml_probability(model, scores, (uint32_t) receiver->wanted.class_index));
	else if (model->problem == SQLML_REGRESSION)
		append_number(receiver, sqlml_value(model, scores));
	else
	{
		StringInfo	label = &receiver->labels[sqlml_choose_class(model, scores)];

		appendBinaryStringInfo(&receiver->answers, label->data, label->len);
	}
}

static void
add_number(Summary *summary, double number, bool is_first)
{
	summary->sum += number;
	if (is_first || number < summary->minimum)
		summary->minimum = number;
	if (is_first || number > summary->maximum)
		summary->maximum = number;
}

/*
 * Answers that only count
 */
static void
add_to_summary(Receiver *receiver, TupleTableSlot *slot)
{
	const SqlmlModel *model = receiver->model;
	const double *scores = receiver->row.scores;
	Summary    *summary = receiver->summary;
	bool		is_first = receiver->row_count == 0;

	(void) slot;
	if (model->problem == SQLML_REGRESSION)
	{
		summary->row_count++;
		add_number(summary, sqlml_value(model, scores), is_first);
		return;
	}
	summary[sqlml_choose_class(model, scores)].row_count++;
	if (model->problem == SQLML_BINARY)
	{
		double		positive = sqlml_probability(model, scores, 1);

		add_number(&summary[0], 1 - positive, is_first);
		add_number(&summary[1], positive, is_first);
		return;
	}
	for (uint32_t k = 0; k < model->class_count; k++)
		add_number(&summary[k], sqlml_probability(model, scores, k), is_first);
}

static void
make_labels(Receiver *receiver)
{
	const SqlmlModel *model = receiver->model;

	receiver->labels = palloc(sizeof(StringInfoData) * (model->class_count + 1));
	for (uint32_t k = 0; k < model->class_count; k++)
	{
		initStringInfo(&receiver->labels[k]);
		append_quoted(&receiver->labels[k], model->classes[k]);
	}
}

Receiver *
make_receiver(Portal portal, const SqlmlModel *model, const char *model_name, Row row,
			  Wanted wanted)
{
	MemoryContext context = AllocSetContextCreate(portal->portalContext, "sqlml query",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Receiver   *receiver = palloc0(sizeof(Receiver));

	receiver->destination.receiveSlot = receive;
	receiver->destination.rStartup = start;
	receiver->destination.rShutdown = ignore;
	receiver->destination.rDestroy = ignore;
	receiver->destination.mydest = DestTuplestore;
	receiver->model = model;
	receiver->model_name = text_to_server((SqlmlText) {model_name, (uint32_t) strlen(model_name)});
	receiver->row = row;
	receiver->wanted = wanted;
	receiver->context = context;
	receiver->row_context = AllocSetContextCreate(context, "sqlml row", ALLOCSET_DEFAULT_SIZES);
	receiver->columns = palloc0(sizeof(SlotColumn) * (model->column_count + 1));
	receiver->summary = palloc0(sizeof(Summary) * Max(model->class_count, 1));
	initStringInfo(&receiver->keys);
	initStringInfo(&receiver->answers);
	make_labels(receiver);
	MemoryContextSwitchTo(caller);
	return receiver;
}

static void
start_list(StringInfo list)
{
	resetStringInfo(list);
	appendStringInfoChar(list, '{');
}

/* The last comma becomes the bracket */
static void
end_list(StringInfo list)
{
	list->data[list->len - 1] = '}';
}

bool
receive_batch(Receiver *receiver, Portal portal, long row_count)
{
	receiver->answer = add_to_batch;
	receiver->row_count = 0;
	start_list(&receiver->keys);
	start_list(&receiver->answers);
	PortalRunFetch(portal, FETCH_FORWARD, row_count, &receiver->destination);
	if (receiver->wanted.key != NULL)
		end_list(&receiver->keys);
	end_list(&receiver->answers);
	return receiver->row_count == (uint64) row_count;
}

uint64
get_batch(const Receiver *receiver, SqlmlText *keys, SqlmlText *answers)
{
	bool		has_keys = receiver->wanted.key != NULL;

	*keys = (SqlmlText) {has_keys ? receiver->keys.data : NULL, (uint32_t) receiver->keys.len};
	*answers = (SqlmlText) {receiver->answers.data, (uint32_t) receiver->answers.len};
	return receiver->row_count;
}

const Summary *
receive_summary(Receiver *receiver, Portal portal)
{
	receiver->answer = add_to_summary;
	receiver->row_count = 0;
	PortalRunFetch(portal, FETCH_FORWARD, FETCH_ALL, &receiver->destination);
	return receiver->summary;
}
