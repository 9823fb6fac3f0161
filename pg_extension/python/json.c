/*
 * json.c
 *	  One row as a JSON object. An absent key of an object is NULL, of a row an
 *	  error.
 */
#include "scoring.h"

#include <math.h>
#include <string.h>

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

/* The format says what is wrong with the column's value */
static bool
refuse_value(const ModelObject *self, const SqlmlColumn *column, const char *format,
			 PyObject *value)
{
	PyObject   *name = text_object(column->name);
	PyObject   *type_name = text_object(column->type_name);

	if (name != NULL && type_name != NULL)
		raise_error(self->state, "42804",
					PyUnicode_FromFormat(format, name, json_type_name(value), self->name, type_name),
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

/* The number of elements of an array, and of arrays in it; -1 for an error */
static Py_ssize_t
count_elements(PyObject *list)
{
	Py_ssize_t	count = 0;

	if (Py_EnterRecursiveCall(" while reading an array") != 0)
		return -1;
	for (Py_ssize_t i = 0; i < PyList_Size(list) && count >= 0; i++)
	{
		PyObject   *item = PyList_GetItem(list, i);
		Py_ssize_t	more = PyList_Check(item) ? count_elements(item) : 1;

		count = more < 0 ? -1 : count + more;
	}
	Py_LeaveRecursiveCall();
	return count;
}

/* Write the elements and return what is behind them; NULL for an error */
static double *
write_elements(const ModelObject *self, const SqlmlColumn *column, PyObject *list,
			   double *elements)
{
	for (Py_ssize_t i = 0; i < PyList_Size(list) && elements != NULL; i++)
	{
		PyObject   *item = PyList_GetItem(list, i);
		SqlmlText	text = {"", 0};

		if (PyList_Check(item))
		{
			elements = write_elements(self, column, item, elements);
			continue;
		}
		*elements = NAN;
		if (PyUnicode_Check(item) && !get_text(item, &text))
			return NULL;
		if (item != Py_None && !read_number(column, item, text, elements))
		{
			refuse_value(self, column,
						 "column \"%U\" of the row has an element that is %s, but model \"%U\" expects %U",
						 item);
			return NULL;
		}
		elements++;
	}
	return elements;
}

/* Read an array into bytes that take its place in the row, and live as long */
static bool
read_json_array(const ModelObject *self, const SqlmlColumn *column, PyObject *list,
				PyObject *row, PyObject *name, SqlmlValue *value)
{
	Py_ssize_t	count = count_elements(list);
	PyObject   *bytes = count < 0 ? NULL
		: PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t) sizeof(double));
	double	   *elements = bytes ? (double *) PyBytes_AsString(bytes) : NULL;
	bool		is_read = elements != NULL && write_elements(self, column, list, elements) != NULL &&
		PyDict_SetItem(row, name, bytes) == 0;

	value->as.array.elements = elements;
	value->as.array.count = (uint32_t) count;
	Py_XDECREF(bytes);
	return is_read;
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
	return refuse_value(self, column,
						"column \"%U\" of the row is %s, but model \"%U\" expects %U", object);
}

static bool
read_json_item(const ModelObject *self, const SqlmlColumn *column, PyObject *row, PyObject *name,
			   PyObject *object, SqlmlValue *value)
{
	if (column->kind != SQLML_ARRAY || object == NULL || !PyList_Check(object))
		return read_json_value(self, column, object, value);
	value->is_missing = false;
	return read_json_array(self, column, object, row, name, value);
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
		is_read = !PyErr_Occurred() && read_json_item(self, column, row, name, object, &values[i]);
		Py_DECREF(name);
		if (!is_read)
			return false;
	}
	return true;
}

/* Called by the JSON reader for each number */
PyObject *
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

/* Keep a reader of JSON whose numbers are read by read_number */
bool
find_json(PyObject *module, ModuleState *state)
{
	PyObject   *json = PyImport_ImportModule("json");
	PyObject   *make = json ? PyObject_GetAttrString(json, "JSONDecoder") : NULL;
	PyObject   *read = PyObject_GetAttrString(module, "read_number");
	PyObject   *nothing = PyTuple_New(0);
	PyObject   *keywords = read ? Py_BuildValue("{sOsO}", "parse_int", read, "parse_float", read)
		: NULL;
	PyObject   *decoder = NULL;

	if (make != NULL && nothing != NULL && keywords != NULL)
		decoder = PyObject_Call(make, nothing, keywords);
	if (decoder != NULL)
		state->read_json = PyObject_GetAttrString(decoder, "decode");
	Py_XDECREF(json);
	Py_XDECREF(make);
	Py_XDECREF(read);
	Py_XDECREF(nothing);
	Py_XDECREF(keywords);
	Py_XDECREF(decoder);
	return state->read_json != NULL;
}

static PyObject *
load_json(const ModelObject *self, PyObject *json)
{
	PyObject   *row = PyObject_CallFunctionObjArgs(self->state->read_json, json, NULL);

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

/* Score a JSON object; the scores are in the model's row. NULL for an error. */
static const double *
score_json(const ModelObject *self, PyObject *json, bool is_row)
{
	PyObject   *object = load_json(self, json);
	bool		is_read;

	if (object == NULL)
		return NULL;
	is_read = read_json_row(self, object, is_row, self->row.values);
	if (is_read)
		sqlml_score(self->model, self->row.values, self->row.workspace, self->row.scores);
	/* the values point into the object's strings */
	Py_DECREF(object);
	return is_read ? self->row.scores : NULL;
}

PyObject *
model_predict_json(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	const double *scores;
	PyObject   *json;
	int			is_row;

	if (!PyArg_ParseTuple(arguments, "Up:predict_json", &json, &is_row))
		return NULL;
	scores = score_json(self, json, is_row);
	return scores == NULL ? NULL : make_prediction(self, scores);
}

PyObject *
model_probability_json(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	const double *scores;
	PyObject   *json;
	PyObject   *label;
	int			is_row;

	if (!PyArg_ParseTuple(arguments, "UpU:probability_json", &json, &is_row, &label))
		return NULL;
	scores = score_json(self, json, is_row);
	return scores == NULL ? NULL : make_probability(self, scores, label);
}

PyObject *
model_raw_scores_json(PyObject *object, PyObject *json)
{
	const ModelObject *self = (ModelObject *) object;
	const double *scores;

	if (!PyUnicode_Check(json))
		return PyErr_Format(PyExc_TypeError, "a row must be given as text");
	scores = score_json(self, json, false);
	return scores == NULL ? NULL : make_scores(self, scores);
}
