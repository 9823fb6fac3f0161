/*
 * query.c
 *	  A query whose rows are scored where they come out of the executor.
 *
 * It runs in a portal, as the calling user, with the snapshot of the calling
 * query and without writing anything. The portal belongs to the transaction,
 * which may end before the object does; the object knows it by name only.
 */
#include "server.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

/* Large enough that a subtransaction for each costs nothing */
#define BATCH_ROWS 1000

typedef struct QueryObject
{
	PyObject_HEAD
	ModelObject *model;
	PyObject   *key;			/* keeps the name of the key's column, or NULL */
	Row			row;
	Wanted		wanted;
	const char *text;			/* while it is being opened */
	const char *model_name;
	char		portal_name[NAMEDATALEN];	/* empty when there is none any more */
	Receiver   *receiver;		/* lives as long as the portal */
	bool		is_more;
	const Summary *summary;
} QueryObject;

/* Called in guard() */
static Portal
get_portal(const QueryObject *self)
{
	Portal		portal = GetPortalByName(self->portal_name);

	if (!PortalIsValid(portal))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("the query to be predicted was closed")));
	return portal;
}

static void
close_portal(void *argument)
{
	QueryObject *self = argument;
	Portal		portal = GetPortalByName(self->portal_name);

	self->portal_name[0] = '\0';
	self->receiver = NULL;
	if (PortalIsValid(portal))
		SPI_cursor_close(portal);
}

static void
open_portal(void *argument)
{
	QueryObject *self = argument;
	SPIParseOpenOptions options = {.cursorOptions = CURSOR_OPT_NO_SCROLL, .read_only = true};
	const char *text = pg_any_to_server(self->text, (int) strlen(self->text), PG_UTF8);
	Portal		portal = SPI_cursor_parse_open(NULL, text, &options);

	if (portal == NULL)
		elog(ERROR, "SPI_cursor_parse_open failed: %s", SPI_result_code_string(SPI_result));
	self->receiver = make_receiver(portal, self->model->model, self->model_name, self->row,
								   self->wanted);
	strlcpy(self->portal_name, portal->name, NAMEDATALEN);
}

static void
fetch_batch(void *argument)
{
	QueryObject *self = argument;

	self->is_more = receive_batch(self->receiver, get_portal(self), BATCH_ROWS);
}

static void
fetch_summary(void *argument)
{
	QueryObject *self = argument;

	self->summary = receive_summary(self->receiver, get_portal(self));
}

static bool
read_wanted(QueryObject *self, PyObject *key, PyObject *label)
{
	SqlmlText	name;

	self->wanted.class_index = -1;
	if (key != Py_None)
	{
		if (!get_text(key, &name))
			return false;
		self->key = Py_NewRef(key);
		self->wanted.key = name.data;
	}
	if (label != Py_None)
	{
		self->wanted.class_index = get_class(self->model, label);
		return self->wanted.class_index >= 0;
	}
	return true;
}

static bool
open_query(QueryObject *self, PyObject *query)
{
	SqlmlText	text;
	SqlmlText	name;

	if (!get_text(query, &text) || !get_text(self->model->name, &name) ||
		!make_row(&self->row, self->model->model))
		return false;
	self->text = text.data;
	self->model_name = name.data;
	return guard(self->model->state, open_portal, self);
}

PyObject *
model_open_query(PyObject *object, PyObject *arguments)
{
	ModelObject *model = (ModelObject *) object;
	PyObject   *query;
	PyObject   *key;
	PyObject   *label;
	QueryObject *self;

	if (!PyArg_ParseTuple(arguments, "UOO:open_query", &query, &key, &label))
		return NULL;
	self = PyObject_New(QueryObject, (PyTypeObject *) model->state->query_type);
	if (self == NULL)
		return NULL;
	self->model = (ModelObject *) Py_NewRef(object);
	self->key = NULL;
	self->row = (Row) {NULL, NULL, NULL};
	self->wanted = (Wanted) {NULL, -1};
	self->portal_name[0] = '\0';
	self->receiver = NULL;
	self->is_more = true;
	if (!read_wanted(self, key, label) || !open_query(self, query))
		Py_CLEAR(self);
	return (PyObject *) self;
}

/*
 * Close the portal, whatever exception is on its way
 */
static void
close_quietly(QueryObject *self)
{
	PyObject   *type;
	PyObject   *value;
	PyObject   *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	if (!guard(self->model->state, close_portal, self))
		PyErr_Clear();
	PyErr_Restore(type, value, traceback);
}

static void
query_dealloc(PyObject *object)
{
	QueryObject *self = (QueryObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	/* a transaction that fails takes its portals with it */
	if (self->portal_name[0] != '\0' && IsTransactionState())
		close_quietly(self);
	free_row(&self->row);
	Py_XDECREF(self->key);
	Py_DECREF(self->model);
	PyObject_Free(object);
	Py_DECREF(type);
}

static PyObject *
make_batch(const Receiver *receiver)
{
	SqlmlText	keys;
	SqlmlText	answers;

	if (get_batch(receiver, &keys, &answers) == 0)
		return NULL;
	return Py_BuildValue("(s#s#)", keys.data, (Py_ssize_t) keys.size, answers.data,
						 (Py_ssize_t) answers.size);
}

static PyObject *
query_next(PyObject *object)
{
	QueryObject *self = (QueryObject *) object;
	PyObject   *batch;

	if (!self->is_more)
		return NULL;
	if (!guard(self->model->state, fetch_batch, self))
	{
		/* the failed portal is closed with the object */
		self->is_more = false;
		return NULL;
	}
	batch = make_batch(self->receiver);
	if (!self->is_more && !guard(self->model->state, close_portal, self))
		Py_CLEAR(batch);
	return batch;
}

static PyObject *
make_summary_row(PyObject *label, const Summary *summary, uint64 row_count)
{
	if (row_count == 0)
		return Py_BuildValue("(OiOOO)", label, 0, Py_None, Py_None, Py_None);
	return Py_BuildValue("(OKddd)", label, (unsigned long long) summary->row_count,
						 summary->sum / (double) row_count, summary->minimum, summary->maximum);
}

/* Called while the portal, whose memory holds the summary, is open */
static PyObject *
make_summary(const QueryObject *self)
{
	uint32_t	class_count = self->model->model->class_count;
	uint64		row_count = 0;
	PyObject   *rows = PyList_New(0);

	for (uint32_t k = 0; k < Max(class_count, 1); k++)
		row_count += self->summary[k].row_count;
	for (uint32_t k = 0; rows != NULL && k < Max(class_count, 1); k++)
	{
		PyObject   *label = class_count > 0 ? PyTuple_GetItem(self->model->labels, k) : Py_None;
		PyObject   *row = make_summary_row(label, &self->summary[k], row_count);

		if (row == NULL || PyList_Append(rows, row) < 0)
			Py_CLEAR(rows);
		Py_XDECREF(row);
	}
	return rows;
}

static PyObject *
query_summarize(PyObject *object, PyObject *nothing)
{
	QueryObject *self = (QueryObject *) object;
	PyObject   *rows;

	(void) nothing;
	if (self->receiver == NULL || !self->is_more)
		return PyErr_Format(PyExc_ValueError, "the query has ended");
	self->is_more = false;
	if (!guard(self->model->state, fetch_summary, self))
		return NULL;
	rows = make_summary(self);
	if (!guard(self->model->state, close_portal, self))
		Py_CLEAR(rows);
	return rows;
}

static PyMethodDef query_methods[] = {
	{"summarize", query_summarize, METH_NOARGS,
	"summarize() -> (class, rows, mean, minimum, maximum) of each class, or of the values"},
	{NULL, NULL, 0, NULL}
};

static PyType_Slot query_slots[] = {
	{Py_tp_dealloc, query_dealloc},
	{Py_tp_iter, PyObject_SelfIter},
	{Py_tp_iternext, query_next},
	{Py_tp_methods, query_methods},
	{Py_tp_doc, "Batches of keys and answers, each two literals of text[]."},
	{0, NULL}
};

PyType_Spec query_spec = {
	.name = "_scoring.Query",
	.basicsize = sizeof(QueryObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = query_slots,
};
