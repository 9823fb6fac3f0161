/*
 * model.c
 *	  An artifact that was opened, and its facts.
 */
#include "scoring.h"
#include "evaluator.h"

#include <stdlib.h>

static const char *const PROBLEM_NAMES[] = {"binary", "multiclass", "regression"};
static const char *const KIND_NAMES[] = {"numeric", "boolean", "category", "datetime", "array"};

PyObject *
text_object(SqlmlText text)
{
	return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t) text.size, "strict");
}

/* The UTF-8 of a string, which lives as long as the string */
bool
get_text(PyObject *object, SqlmlText *text)
{
	Py_ssize_t	size;

	text->data = PyUnicode_AsUTF8AndSize(object, &size);
	text->size = (uint32_t) size;
	return text->data != NULL;
}

void
free_row(Row *row)
{
	free(row->values);
	free(row->workspace);
	free(row->scores);
}

bool
make_row(Row *row, const SqlmlModel *model)
{
	void	   *memory = malloc(sqlml_workspace_size(model));

	row->workspace = memory ? sqlml_make_workspace(model, memory) : NULL;
	row->values = calloc((size_t) model->column_count + 1, sizeof(SqlmlValue));
	row->scores = calloc(model->output_count, sizeof(double));
	if (row->workspace != NULL && row->values != NULL && row->scores != NULL)
		return true;
	free_row(row);
	*row = (Row) {NULL, NULL, NULL};
	PyErr_NoMemory();
	return false;
}

/* Counts what a model takes; its memory goes all at once, so nothing is taken off */
static void *
allocate(void *argument, size_t size)
{
	*(size_t *) argument += size;
	return malloc(size);
}

static void
release(void *argument, void *pointer)
{
	(void) argument;
	free(pointer);
}

static bool
open_artifact(ModelObject *self, const EvaluatorChoice *choice)
{
	SqlmlAllocator allocator = {allocate, release, &self->size_bytes};
	SqlmlError	error;
	char	   *bytes;
	Py_ssize_t	size;

	if (PyBytes_AsStringAndSize(self->data, &bytes, &size) < 0)
		return false;
	self->size_bytes = (size_t) size;
	self->model = sqlml_open_as((const uint8_t *) bytes, (size_t) size, &allocator, choice, &error);
	if (self->model == NULL)
		raise_open_error(self->state, &error, self->name);
	return self->model != NULL;
}

static PyObject *
make_labels(const SqlmlModel *model)
{
	PyObject   *labels = PyTuple_New((Py_ssize_t) model->class_count);

	for (uint32_t k = 0; labels != NULL && k < model->class_count; k++)
	{
		PyObject   *label = text_object(model->classes[k]);

		if (label == NULL || PyTuple_SetItem(labels, (Py_ssize_t) k, label) < 0)
			Py_CLEAR(labels);
	}
	return labels;
}

PyObject *
module_open(PyObject *module, PyObject *arguments)
{
	ModuleState *state = PyModule_GetState(module);
	PyObject   *data;
	PyObject   *name;
	ModelObject *self;
	int			kind = EVALUATOR_ANY;
	int			instructions = INSTRUCTIONS_ANY;
	EvaluatorChoice choice;

	if (!PyArg_ParseTuple(arguments, "SU|ii:open", &data, &name, &kind, &instructions))
		return NULL;
	choice.kind = (EvaluatorKind) kind;
	choice.instructions = (InstructionSet) instructions;
	self = PyObject_New(ModelObject, (PyTypeObject *) state->model_type);
	if (self == NULL)
		return NULL;
	self->state = state;
	self->module = Py_NewRef(module);
	self->data = Py_NewRef(data);
	self->name = Py_NewRef(name);
	self->labels = NULL;
	self->model = NULL;
	self->row = (Row) {NULL, NULL, NULL};
	if (open_artifact(self, &choice) && make_row(&self->row, self->model))
		self->labels = make_labels(self->model);
	if (self->labels == NULL)
		Py_CLEAR(self);
	return (PyObject *) self;
}

static void
model_dealloc(PyObject *object)
{
	ModelObject *self = (ModelObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	free_row(&self->row);
	if (self->model != NULL)
		sqlml_close(self->model);
	Py_XDECREF(self->labels);
	Py_DECREF(self->data);
	Py_DECREF(self->name);
	Py_DECREF(self->module);
	PyObject_Free(object);
	Py_DECREF(type);
}

/*
 * Facts of a model
 */

static PyObject *
model_get_problem_type(PyObject *object, void *closure)
{
	(void) closure;
	return PyUnicode_FromString(PROBLEM_NAMES[((ModelObject *) object)->model->problem]);
}

static PyObject *
model_get_output_count(PyObject *object, void *closure)
{
	(void) closure;
	return PyLong_FromUnsignedLong(((ModelObject *) object)->model->output_count);
}

static PyObject *
model_get_is_exact(PyObject *object, void *closure)
{
	(void) closure;
	return PyBool_FromLong(sqlml_is_exact(((ModelObject *) object)->model));
}

static PyObject *
model_get_size_bytes(PyObject *object, void *closure)
{
	(void) closure;
	return PyLong_FromSize_t(((ModelObject *) object)->size_bytes);
}

static PyObject *
model_get_evaluators(PyObject *object, void *closure)
{
	static const char *const names[] = {"any", "plain", "masks", "walk"};
	const SqlmlModel *model = ((ModelObject *) object)->model;
	PyObject   *evaluators = PyTuple_New((Py_ssize_t) model->part_count);

	(void) closure;
	for (uint32_t i = 0; evaluators != NULL && i < model->part_count; i++)
	{
		PyObject   *name = PyUnicode_FromString(names[get_evaluator(&model->parts[i])]);

		if (name == NULL || PyTuple_SetItem(evaluators, (Py_ssize_t) i, name) < 0)
			Py_CLEAR(evaluators);
	}
	return evaluators;
}

/* None where no part has tables and thus none are used */
static PyObject *
model_get_instructions(PyObject *object, void *closure)
{
	const SqlmlModel *model = ((ModelObject *) object)->model;

	(void) closure;
	if (model->evaluator == NULL)
		Py_RETURN_NONE;
	return PyUnicode_FromString(model->evaluator->kernel->name);
}

static PyObject *
model_get_classes(PyObject *object, void *closure)
{
	(void) closure;
	return Py_NewRef(((ModelObject *) object)->labels);
}

static PyObject *
model_get_columns(PyObject *object, void *closure)
{
	const SqlmlModel *model = ((ModelObject *) object)->model;
	PyObject   *columns = PyTuple_New((Py_ssize_t) model->column_count);

	(void) closure;
	for (uint32_t i = 0; columns != NULL && i < model->column_count; i++)
	{
		const SqlmlColumn *column = &model->columns[i];
		PyObject   *pair = Py_BuildValue("(s#s)", column->name.data, (Py_ssize_t) column->name.size,
										 KIND_NAMES[column->kind]);

		if (pair == NULL || PyTuple_SetItem(columns, (Py_ssize_t) i, pair) < 0)
			Py_CLEAR(columns);
	}
	return columns;
}

static PyObject *
model_get_type_names(PyObject *object, void *closure)
{
	const SqlmlModel *model = ((ModelObject *) object)->model;
	PyObject   *names = PyTuple_New((Py_ssize_t) model->column_count);

	(void) closure;
	for (uint32_t i = 0; names != NULL && i < model->column_count; i++)
	{
		PyObject   *name = text_object(model->columns[i].type_name);

		if (name == NULL || PyTuple_SetItem(names, (Py_ssize_t) i, name) < 0)
			Py_CLEAR(names);
	}
	return names;
}

static PyGetSetDef model_properties[] = {
	{"problem_type", model_get_problem_type, NULL, "binary, multiclass or regression", NULL},
	{"output_count", model_get_output_count, NULL, "raw scores a row", NULL},
	{"is_exact", model_get_is_exact, NULL, "whether raw scores are the estimator's to the bit", NULL},
	{"size_bytes", model_get_size_bytes, NULL, "memory that the model takes", NULL},
	{"evaluators", model_get_evaluators, NULL, "how the trees of each part are scored", NULL},
	{"instructions", model_get_instructions, NULL, "the instruction set that they use", NULL},
	{"classes", model_get_classes, NULL, "labels; empty for a regression", NULL},
	{"columns", model_get_columns, NULL, "(name, kind) of each column", NULL},
	{"type_names", model_get_type_names, NULL, "SQL type of each column at training", NULL},
	{NULL, NULL, NULL, NULL, NULL}
};

static PyMethodDef model_methods[] = {
	{"raw_scores", model_raw_scores, METH_VARARGS,
	"raw_scores(columns, row_count) -> bytes of float64, row by row"},
	{"contributions", model_contributions, METH_VARARGS,
	"contributions(columns, row_count) -> bytes of float64: each output's columns and base"},
	{"predict_json", model_predict_json, METH_VARARGS,
	"predict_json(json, is_row) -> label or float"},
	{"probability_json", model_probability_json, METH_VARARGS,
	"probability_json(json, is_row, label) -> float"},
	{"raw_scores_json", model_raw_scores_json, METH_O,
	"raw_scores_json(json) -> tuple of floats"},
	{"bind", model_bind, METH_VARARGS,
	"bind(numbers, texts, packed) -> Binding of those columns"},
#ifdef SQLML_SERVER
	{"open_query", model_open_query, METH_VARARGS,
	"open_query(query, key, label) -> Query; key and label may be None"},
#endif
	{NULL, NULL, 0, NULL}
};

static PyType_Slot model_slots[] = {
	{Py_tp_dealloc, model_dealloc},
	{Py_tp_methods, model_methods},
	{Py_tp_getset, model_properties},
	{Py_tp_doc, "An opened artifact."},
	{0, NULL}
};

PyType_Spec model_spec = {
	.name = "_scoring.Model",
	.basicsize = sizeof(ModelObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = model_slots,
};
