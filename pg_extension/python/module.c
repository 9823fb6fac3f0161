/*
 * module.c
 *	  The scoring core as a CPython module, in the limited API of 3.11.
 *
 * sqlml/predict/scorer.py calls it with columns of many rows, PL/Python with
 * one row as JSON. Every failure is a ScoringError whose arguments are
 * SQLSTATE, message, detail and hint; the last two may be None.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "evaluator.h"

static const char *const PROBLEM_NAMES[] = {"binary", "multiclass", "regression"};
static const char *const KIND_NAMES[] = {"numeric", "boolean", "category", "datetime"};

#define MAX_LISTED_CLASSES 20

typedef struct ModuleState
{
	PyObject   *model_type;
	PyObject   *scoring_error;
	PyObject   *json_loads;
	PyObject   *json_keywords;	/* reads numbers as PostgreSQL casts them to float8 */
} ModuleState;

typedef struct ModelObject
{
	PyObject_HEAD
	SqlmlModel *model;
	ModuleState *state;
	PyObject   *module;			/* keeps the state alive */
	PyObject   *data;			/* the bytes, which the model points into */
	PyObject   *name;			/* for messages */
} ModelObject;

/* Raise a ScoringError; takes over the references to message, detail and hint */
static void
raise_error(const ModuleState *state, const char *sqlstate, PyObject *message,
			PyObject *detail, PyObject *hint)
{
	PyObject   *arguments = NULL;

	if (message != NULL)
		arguments = Py_BuildValue("(sOOO)", sqlstate, message,
								  detail ? detail : Py_None, hint ? hint : Py_None);
	Py_XDECREF(message);
	Py_XDECREF(detail);
	Py_XDECREF(hint);
	if (arguments == NULL)
		return;
	PyErr_SetObject(state->scoring_error, arguments);
	Py_DECREF(arguments);
}

static PyObject *
text_object(SqlmlText text)
{
	return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t) text.size, "strict");
}

/*
 * Opening
 */

static void *
allocate(void *argument, size_t size)
{
	(void) argument;
	return malloc(size);
}

static void
release(void *argument, void *pointer)
{
	(void) argument;
	free(pointer);
}

static void
raise_open_error(const ModuleState *state, const SqlmlError *error, PyObject *name)
{
	if (error->status == SQLML_NO_MEMORY)
		PyErr_NoMemory();
	else if (error->status == SQLML_UNSUPPORTED)
		raise_error(state, "0A000",
					PyUnicode_FromFormat("artifact of model \"%U\" cannot be read", name),
					PyUnicode_FromFormat("%s.", error->message),
					PyUnicode_FromString("Update sqlml on this server, or train the model again."));
	else
		raise_error(state, "XX001",
					PyUnicode_FromFormat("artifact of model \"%U\" is damaged", name),
					PyUnicode_FromFormat("%s.", error->message),
					PyUnicode_FromString("Train the model again."));
}

static PyObject *
module_open(PyObject *module, PyObject *arguments)
{
	static const SqlmlAllocator allocator = {allocate, release, NULL};
	ModuleState *state = PyModule_GetState(module);
	PyObject   *data;
	PyObject   *name;
	ModelObject *self;
	SqlmlError	error;
	char	   *bytes;
	Py_ssize_t	size;
	int			kind = EVALUATOR_ANY;
	int			instructions = INSTRUCTIONS_ANY;
	EvaluatorChoice choice;

	if (!PyArg_ParseTuple(arguments, "SU|ii:open", &data, &name, &kind, &instructions) ||
		PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
		return NULL;
	self = PyObject_New(ModelObject, (PyTypeObject *) state->model_type);
	if (self == NULL)
		return NULL;
	self->state = state;
	self->module = Py_NewRef(module);
	self->data = Py_NewRef(data);
	self->name = Py_NewRef(name);
	choice.kind = (EvaluatorKind) kind;
	choice.instructions = (InstructionSet) instructions;
	self->model = sqlml_open_as((const uint8_t *) bytes, (size_t) size, &allocator, &choice,
								&error);
	if (self->model != NULL)
		return (PyObject *) self;
	raise_open_error(state, &error, name);
	Py_DECREF(self);
	return NULL;
}

static void
model_dealloc(PyObject *object)
{
	ModelObject *self = (ModelObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	if (self->model != NULL)
		sqlml_close(self->model);
	Py_DECREF(self->data);
	Py_DECREF(self->name);
	Py_DECREF(self->module);
	PyObject_Free(object);
	Py_DECREF(type);
}

/*
 * Many rows
 */

typedef struct Column
{
	Py_buffer	missing;		/* a byte a row */
	Py_buffer	values;			/* float64, bytes of 0 and 1, int64, or the texts' bytes */
	Py_buffer	offsets;		/* CATEGORY: int64, one more than rows */
} Column;

static const Py_ssize_t VALUE_SIZES[] = {sizeof(double), 1, 0, sizeof(int64_t)};

/* Whether the texts of a column lie within its bytes */
static bool
has_sound_offsets(const Column *column, Py_ssize_t row_count)
{
	const int64_t *offsets = column->offsets.buf;

	if (column->offsets.len != (row_count + 1) * (Py_ssize_t) sizeof(int64_t) || offsets[0] < 0)
		return false;
	for (Py_ssize_t row = 0; row < row_count; row++)
		if (offsets[row + 1] < offsets[row] || offsets[row + 1] - offsets[row] > UINT32_MAX)
			return false;
	return offsets[row_count] <= column->values.len;
}

static bool
fill_column(Column *column, SqlmlKind kind, PyObject *buffers, Py_ssize_t row_count)
{
	PyObject   *missing;
	PyObject   *values;
	PyObject   *offsets = NULL;
	bool		is_sound;

	if (!PyTuple_Check(buffers) ||
		!PyArg_ParseTuple(buffers, kind == SQLML_CATEGORY ? "OOO" : "OO",
						  &missing, &values, &offsets))
	{
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_TypeError, "a column must be a tuple of buffers");
		return false;
	}
	if (PyObject_GetBuffer(missing, &column->missing, PyBUF_SIMPLE) < 0 ||
		PyObject_GetBuffer(values, &column->values, PyBUF_SIMPLE) < 0 ||
		(offsets != NULL && PyObject_GetBuffer(offsets, &column->offsets, PyBUF_SIMPLE) < 0))
		return false;
	is_sound = column->missing.len == row_count;
	if (kind == SQLML_CATEGORY)
		is_sound = is_sound && has_sound_offsets(column, row_count);
	else
		is_sound = is_sound && column->values.len == row_count * VALUE_SIZES[kind];
	if (!is_sound)
		PyErr_SetString(PyExc_ValueError, "a column does not have the stated number of rows");
	return is_sound;
}

static SqlmlValue
get_value(const Column *column, SqlmlKind kind, Py_ssize_t row)
{
	SqlmlValue	value = {.is_missing = ((const uint8_t *) column->missing.buf)[row] != 0};
	const int64_t *offsets = column->offsets.buf;

	switch (kind)
	{
		case SQLML_NUMERIC:
			value.as.number = ((const double *) column->values.buf)[row];
			break;
		case SQLML_BOOLEAN:
			value.as.number = ((const uint8_t *) column->values.buf)[row] != 0;
			break;
		case SQLML_DATETIME:
			value.as.micros = ((const int64_t *) column->values.buf)[row];
			break;
		case SQLML_CATEGORY:
			value.as.text.data = (const char *) column->values.buf + offsets[row];
			value.as.text.size = (uint32_t) (offsets[row + 1] - offsets[row]);
			break;
	}
	return value;
}

/* What a row is scored in */
typedef struct Row
{
	SqlmlValue *values;
	SqlmlWorkspace *workspace;
	double	   *scores;
} Row;

static void
free_row(Row *row)
{
	free(row->values);
	free(row->workspace);
	free(row->scores);
}

static bool
make_row(Row *row, const SqlmlModel *model)
{
	void	   *memory = malloc(sqlml_workspace_size(model));

	row->workspace = memory ? sqlml_make_workspace(model, memory) : NULL;
	row->values = calloc((size_t) model->column_count + 1, sizeof(SqlmlValue));
	row->scores = calloc(model->output_count, sizeof(double));
	if (row->workspace != NULL && row->values != NULL && row->scores != NULL)
		return true;
	free_row(row);
	PyErr_NoMemory();
	return false;
}

static void
fill_row(Row *row, const SqlmlModel *model, const Column *columns, Py_ssize_t number)
{
	for (uint32_t i = 0; i < model->column_count; i++)
		row->values[i] = get_value(&columns[i], model->columns[i].kind, number);
}

static bool
score_rows(const ModelObject *self, const Column *columns, Py_ssize_t row_count, double *output)
{
	const SqlmlModel *model = self->model;
	Row			row;

	if (!make_row(&row, model))
		return false;
	Py_BEGIN_ALLOW_THREADS
	for (Py_ssize_t number = 0; number < row_count; number++)
	{
		fill_row(&row, model, columns, number);
		sqlml_score(model, row.values, row.workspace, row.scores);
		memcpy(output + (size_t) number * model->output_count, row.scores,
			   model->output_count * sizeof(double));
	}
	Py_END_ALLOW_THREADS
	free_row(&row);
	return true;
}

static bool
contribute_rows(const ModelObject *self, const Column *columns, Py_ssize_t row_count,
				double *output)
{
	const SqlmlModel *model = self->model;
	size_t		width = ((size_t) model->column_count + 1) * model->output_count;
	void	   *memory = malloc(sqlml_contribution_size(model));
	SqlmlError	error = {SQLML_OK, ""};
	Row			row;

	if (memory == NULL || !make_row(&row, model))
	{
		free(memory);
		PyErr_NoMemory();
		return false;
	}
	Py_BEGIN_ALLOW_THREADS
	for (Py_ssize_t number = 0; number < row_count && error.status == SQLML_OK; number++)
	{
		fill_row(&row, model, columns, number);
		sqlml_contribute(model, row.values, memory, output + (size_t) number * width, &error);
	}
	Py_END_ALLOW_THREADS
	free_row(&row);
	free(memory);
	if (error.status != SQLML_OK)
		raise_error(self->state, "0A000",
					PyUnicode_FromFormat("model \"%U\" has no contributions", self->name),
					PyUnicode_FromFormat("%s.", error.message), NULL);
	return error.status == SQLML_OK;
}

typedef bool (*RowsFunction) (const ModelObject *self, const Column *columns,
							  Py_ssize_t row_count, double *output);

/* Give every row as many doubles as the width says */
static PyObject *
answer_columns(const ModelObject *self, PyObject *buffers, Py_ssize_t row_count, Column *columns,
			   RowsFunction answer, size_t width)
{
	const SqlmlModel *model = self->model;
	PyObject   *output;

	if (row_count < 0 || PyTuple_Size(buffers) != (Py_ssize_t) model->column_count)
		return PyErr_Format(PyExc_ValueError, "the model has %u columns",
							(unsigned) model->column_count);
	for (uint32_t i = 0; i < model->column_count; i++)
		if (!fill_column(&columns[i], model->columns[i].kind, PyTuple_GetItem(buffers, i), row_count))
			return NULL;
	if ((size_t) row_count > PY_SSIZE_T_MAX / (width * sizeof(double)))
		return PyErr_NoMemory();
	output = PyBytes_FromStringAndSize(NULL, row_count * (Py_ssize_t) (width * sizeof(double)));
	if (output != NULL && !answer(self, columns, row_count, (double *) PyBytes_AsString(output)))
		Py_CLEAR(output);
	return output;
}

static PyObject *
answer_buffers(const ModelObject *self, PyObject *arguments, RowsFunction answer, size_t width)
{
	const SqlmlModel *model = self->model;
	PyObject   *buffers;
	Py_ssize_t	row_count;
	Column	   *columns;
	PyObject   *output;

	if (!PyArg_ParseTuple(arguments, "O!n", &PyTuple_Type, &buffers, &row_count))
		return NULL;
	columns = calloc((size_t) model->column_count + 1, sizeof(Column));
	if (columns == NULL)
		return PyErr_NoMemory();
	output = answer_columns(self, buffers, row_count, columns, answer, width);
	for (uint32_t i = 0; i < model->column_count; i++)
	{
		PyBuffer_Release(&columns[i].missing);
		PyBuffer_Release(&columns[i].values);
		PyBuffer_Release(&columns[i].offsets);
	}
	free(columns);
	return output;
}

static PyObject *
model_raw_scores(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;

	return answer_buffers(self, arguments, score_rows, self->model->output_count);
}

static PyObject *
model_contributions(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	size_t		width = ((size_t) self->model->column_count + 1) * self->model->output_count;

	return answer_buffers(self, arguments, contribute_rows, width);
}

/*
 * One row as JSON
 */

static const char *
json_type_name(PyObject *value)
{
	if (PyUnicode_Check(value))
		return "a string";
	if (PyBool_Check(value))
		return "a boolean";
	if (PyFloat_Check(value))
		return "a number";
	return PyDict_Check(value) ? "an object" : "an array";
}

static bool
refuse_value(const ModelObject *self, const SqlmlColumn *column, PyObject *value)
{
	PyObject   *name = text_object(column->name);
	PyObject   *type_name = text_object(column->type_name);

	if (name != NULL && type_name != NULL)
		raise_error(self->state, "42804",
					PyUnicode_FromFormat("column \"%U\" of the row is %s, but model \"%U\" expects %U",
										 name, json_type_name(value), self->name, type_name),
					NULL, NULL);
	Py_XDECREF(name);
	Py_XDECREF(type_name);
	return false;
}

static bool
refuse_datetime(const ModelObject *self, const SqlmlColumn *column, PyObject *value, bool in_range)
{
	PyObject   *name = text_object(column->name);

	if (name != NULL)
		raise_error(self->state, in_range ? "22007" : "22008",
					in_range
					? PyUnicode_FromFormat("invalid date or time in column \"%U\": \"%U\"", name, value)
					: PyUnicode_FromFormat("date or time out of range in column \"%U\": \"%U\"",
										   name, value),
					NULL,
					PyUnicode_FromString("Write dates and times as in ISO 8601."));
	Py_XDECREF(name);
	return false;
}

static bool
get_text(PyObject *value, SqlmlText *text)
{
	Py_ssize_t	size;

	text->data = PyUnicode_AsUTF8AndSize(value, &size);
	text->size = (uint32_t) size;
	return text->data != NULL;
}

static bool
is_word(SqlmlText text, const char *word)
{
	return text.size == strlen(word) && memcmp(text.data, word, text.size) == 0;
}

/* JSON has no NaN and no infinities; PostgreSQL writes them as strings */
static bool
read_number(const SqlmlColumn *column, PyObject *value, SqlmlText text, double *number)
{
	if (PyFloat_Check(value))
		*number = sqlml_json_number(column, PyFloat_AsDouble(value));
	else if (is_word(text, "NaN"))
		*number = NAN;
	else if (is_word(text, "Infinity"))
		*number = INFINITY;
	else if (is_word(text, "-Infinity"))
		*number = -INFINITY;
	else
		return false;
	return true;
}

static bool
read_json_datetime(const ModelObject *self, const SqlmlColumn *column, PyObject *object,
				   SqlmlText text, SqlmlValue *value)
{
	switch (sqlml_parse_datetime(text, &value->as.micros))
	{
		case SQLML_DATETIME_OK:
			return true;
		case SQLML_DATETIME_INFINITE:
			value->is_missing = true;
			return true;
		case SQLML_DATETIME_INVALID:
			return refuse_datetime(self, column, object, true);
		default:
			return refuse_datetime(self, column, object, false);
	}
}

static bool
read_json_value(const ModelObject *self, const SqlmlColumn *column, PyObject *object,
				SqlmlValue *value)
{
	SqlmlText	text = {"", 0};

	value->is_missing = object == NULL || object == Py_None;
	if (value->is_missing)
		return true;
	if (PyUnicode_Check(object) && !get_text(object, &text))
		return false;
	if (column->kind == SQLML_NUMERIC && read_number(column, object, text, &value->as.number))
		return true;
	if (column->kind == SQLML_BOOLEAN && PyBool_Check(object))
	{
		value->as.number = object == Py_True;
		return true;
	}
	if (column->kind == SQLML_CATEGORY && PyUnicode_Check(object))
	{
		value->as.text = sqlml_json_text(column, text);
		return true;
	}
	if (column->kind == SQLML_DATETIME && PyUnicode_Check(object))
		return read_json_datetime(self, column, object, text, value);
	return refuse_value(self, column, object);
}

static void
refuse_missing_column(const ModelObject *self, PyObject *name)
{
	raise_error(self->state, "42703",
				PyUnicode_FromFormat("the row has no column \"%U\"", name), NULL,
				PyUnicode_FromFormat("Model \"%U\" was trained with that column; add it to the row, NULL if it is not known.",
									 self->name));
}

static bool
read_json_row(const ModelObject *self, PyObject *row, bool is_row, SqlmlValue *values)
{
	for (uint32_t i = 0; i < self->model->column_count; i++)
	{
		const SqlmlColumn *column = &self->model->columns[i];
		PyObject   *name = text_object(column->name);
		PyObject   *object;
		bool		is_read;

		if (name == NULL)
			return false;
		object = PyDict_GetItemWithError(row, name);
		if (object == NULL && is_row && !PyErr_Occurred())
			refuse_missing_column(self, name);
		is_read = !PyErr_Occurred() && read_json_value(self, column, object, &values[i]);
		Py_DECREF(name);
		if (!is_read)
			return false;
	}
	return true;
}

/* Called by the JSON reader for each number */
static PyObject *
module_read_number(PyObject *module, PyObject *text)
{
	SqlmlText	digits = {"", 0};
	bool		is_zero = true;
	double		number;

	if (!PyUnicode_Check(text) || !get_text(text, &digits))
		return PyErr_Format(PyExc_TypeError, "a number must be given as text");
	number = PyOS_string_to_double(digits.data, NULL, PyExc_OverflowError);
	for (uint32_t i = 0; i < digits.size && (digits.data[i] | 0x20) != 'e'; i++)
		is_zero = is_zero && (digits.data[i] < '1' || digits.data[i] > '9');
	if (number == -1 && PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError))
		return NULL;
	if (PyErr_Occurred() || (number == 0 && !is_zero))
	{
		PyErr_Clear();
		raise_error(PyModule_GetState(module), "22003",
					PyUnicode_FromFormat("\"%U\" is out of range for type double precision", text),
					NULL, NULL);
		return NULL;
	}
	return PyFloat_FromDouble(number);
}

static PyObject *
load_json(const ModelObject *self, PyObject *json)
{
	PyObject   *arguments = PyTuple_Pack(1, json);
	PyObject   *row = NULL;

	if (arguments != NULL)
		row = PyObject_Call(self->state->json_loads, arguments, self->state->json_keywords);
	Py_XDECREF(arguments);
	if (row == NULL && !PyErr_ExceptionMatches(self->state->scoring_error) &&
		!PyErr_ExceptionMatches(PyExc_MemoryError))
	{
		PyErr_Clear();
		raise_error(self->state, "22P02",
					PyUnicode_FromString("features cannot be read as JSON"), NULL, NULL);
	}
	if (row != NULL && !PyDict_Check(row))
	{
		raise_error(self->state, "42804",
					PyUnicode_FromFormat("features must be a row or a JSON object, not %s",
										 row == Py_None ? "null" : json_type_name(row)),
					NULL, NULL);
		Py_CLEAR(row);
	}
	return row;
}

/* Score a JSON object; what is made of the scores is up to the caller */
static bool
score_json(const ModelObject *self, PyObject *json, bool is_row, Row *row)
{
	PyObject   *object = load_json(self, json);
	bool		is_read;

	if (object == NULL)
		return false;
	if (!make_row(row, self->model))
	{
		Py_DECREF(object);
		return false;
	}
	is_read = read_json_row(self, object, is_row, row->values);
	if (is_read)
		sqlml_score(self->model, row->values, row->workspace, row->scores);
	else
		free_row(row);
	Py_DECREF(object);
	return is_read;
}

static PyObject *
model_predict_json(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	const SqlmlModel *model = self->model;
	PyObject   *json;
	int			is_row;
	Row			row;
	PyObject   *prediction;

	if (!PyArg_ParseTuple(arguments, "Up:predict_json", &json, &is_row) ||
		!score_json(self, json, is_row, &row))
		return NULL;
	if (model->problem == SQLML_REGRESSION)
		prediction = PyFloat_FromDouble(sqlml_value(model, row.scores));
	else
		prediction = text_object(model->classes[sqlml_choose_class(model, row.scores)]);
	free_row(&row);
	return prediction;
}

static PyObject *
list_classes(const SqlmlModel *model)
{
	PyObject   *list = PyUnicode_FromString("The classes are: ");

	for (uint32_t k = 0; list != NULL && k < model->class_count && k < MAX_LISTED_CLASSES; k++)
	{
		PyObject   *label = text_object(model->classes[k]);
		PyObject   *longer = label == NULL ? NULL
			: PyUnicode_FromFormat("%U%s%U", list, k > 0 ? ", " : "", label);

		Py_XDECREF(label);
		Py_DECREF(list);
		list = longer;
	}
	if (list == NULL)
		return NULL;
	return PyUnicode_FromFormat("%U%s", list,
								model->class_count > MAX_LISTED_CLASSES ? ", ..." : ".");
}

static int64_t
get_class(const ModelObject *self, PyObject *label)
{
	SqlmlText	text;
	int64_t		index;

	if (self->model->problem == SQLML_REGRESSION)
	{
		raise_error(self->state, "42809",
					PyUnicode_FromFormat("model \"%U\" is a regression and has no probabilities",
										 self->name),
					NULL, PyUnicode_FromString("Use sqlml.predict for its value."));
		return -1;
	}
	if (!get_text(label, &text))
		return -1;
	index = sqlml_find_class(self->model, text);
	if (index < 0)
		raise_error(self->state, "22023",
					PyUnicode_FromFormat("model \"%U\" has no class \"%U\"", self->name, label),
					list_classes(self->model), NULL);
	return index;
}

static PyObject *
model_probability_json(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	PyObject   *json;
	PyObject   *label;
	int			is_row;
	int64_t		class_index;
	Row			row;
	double		probability = 0;

	if (!PyArg_ParseTuple(arguments, "UpU:probability_json", &json, &is_row, &label))
		return NULL;
	if (!score_json(self, json, is_row, &row))
		return NULL;
	class_index = get_class(self, label);
	if (class_index >= 0)
		probability = sqlml_probability(self->model, row.scores, (uint32_t) class_index);
	free_row(&row);
	return class_index < 0 ? NULL : PyFloat_FromDouble(probability);
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
model_get_size_bytes(PyObject *object, void *closure)
{
	(void) closure;
	return PyLong_FromSsize_t(PyBytes_Size(((ModelObject *) object)->data));
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
	const SqlmlModel *model = ((ModelObject *) object)->model;
	PyObject   *classes = PyTuple_New((Py_ssize_t) model->class_count);

	(void) closure;
	for (uint32_t k = 0; classes != NULL && k < model->class_count; k++)
	{
		PyObject   *label = text_object(model->classes[k]);

		if (label == NULL || PyTuple_SetItem(classes, (Py_ssize_t) k, label) < 0)
			Py_CLEAR(classes);
	}
	return classes;
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

static PyGetSetDef model_properties[] = {
	{"problem_type", model_get_problem_type, NULL, "binary, multiclass or regression", NULL},
	{"output_count", model_get_output_count, NULL, "raw scores a row", NULL},
	{"size_bytes", model_get_size_bytes, NULL, "size of the artifact", NULL},
	{"evaluators", model_get_evaluators, NULL, "how the trees of each part are scored", NULL},
	{"instructions", model_get_instructions, NULL, "the instruction set that they use", NULL},
	{"classes", model_get_classes, NULL, "labels; empty for a regression", NULL},
	{"columns", model_get_columns, NULL, "(name, kind) of each column", NULL},
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
	{NULL, NULL, 0, NULL}
};

static PyType_Slot model_slots[] = {
	{Py_tp_dealloc, model_dealloc},
	{Py_tp_methods, model_methods},
	{Py_tp_getset, model_properties},
	{Py_tp_doc, "An opened artifact."},
	{0, NULL}
};

static PyType_Spec model_spec = {
	.name = "_scoring.Model",
	.basicsize = sizeof(ModelObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = model_slots,
};

static bool
find_json(PyObject *module, ModuleState *state)
{
	PyObject   *json = PyImport_ImportModule("json");
	PyObject   *read = PyObject_GetAttrString(module, "read_number");

	if (json != NULL && read != NULL)
	{
		state->json_loads = PyObject_GetAttrString(json, "loads");
		state->json_keywords = Py_BuildValue("{sOsO}", "parse_int", read, "parse_float", read);
	}
	Py_XDECREF(json);
	Py_XDECREF(read);
	return state->json_loads != NULL && state->json_keywords != NULL;
}

static int
module_exec(PyObject *module)
{
	ModuleState *state = PyModule_GetState(module);

	state->scoring_error = PyErr_NewException("_scoring.ScoringError", NULL, NULL);
	state->model_type = PyType_FromModuleAndSpec(module, &model_spec, NULL);
	if (state->scoring_error == NULL || state->model_type == NULL || !find_json(module, state))
		return -1;
	if (PyModule_AddObjectRef(module, "ScoringError", state->scoring_error) < 0)
		return -1;
	return PyModule_AddObjectRef(module, "Model", state->model_type);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
	ModuleState *state = PyModule_GetState(module);

	Py_VISIT(state->model_type);
	Py_VISIT(state->scoring_error);
	Py_VISIT(state->json_loads);
	Py_VISIT(state->json_keywords);
	return 0;
}

static int
module_clear(PyObject *module)
{
	ModuleState *state = PyModule_GetState(module);

	Py_CLEAR(state->model_type);
	Py_CLEAR(state->scoring_error);
	Py_CLEAR(state->json_loads);
	Py_CLEAR(state->json_keywords);
	return 0;
}

static PyMethodDef module_functions[] = {
	{"open", module_open, METH_VARARGS,
		"open(data, name[, evaluator, instructions]) -> Model; the name is for messages, the "
	"numbers are those of evaluator.h"},
	{"read_number", module_read_number, METH_O, "read a JSON number as a float"},
	{NULL, NULL, 0, NULL}
};

static PyModuleDef_Slot module_slots[] = {
	{Py_mod_exec, module_exec},
	{0, NULL}
};

static struct PyModuleDef module_definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_scoring",
	.m_doc = "The scoring core of sqlml.",
	.m_size = sizeof(ModuleState),
	.m_methods = module_functions,
	.m_slots = module_slots,
	.m_traverse = module_traverse,
	.m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__scoring(void)
{
	return PyModuleDef_Init(&module_definition);
}
