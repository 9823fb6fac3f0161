/*
 * columns.c
 *	  Many rows, which come as buffers of their columns.
 */
#include "scoring.h"

#include <stdlib.h>
#include <string.h>

typedef struct Column
{
	Py_buffer	missing;		/* a byte a row */
	Py_buffer	values;			/* float64, bytes of 0 and 1, int64; of texts the bytes, of
								 * arrays the elements */
	Py_buffer	offsets;		/* of texts and arrays: int64, one more than rows */
} Column;

static const Py_ssize_t VALUE_SIZES[] = {sizeof(double), 1, 1, sizeof(int64_t), sizeof(double)};

static bool
has_offsets(SqlmlKind kind)
{
	return kind == SQLML_CATEGORY || kind == SQLML_ARRAY;
}

/* Whether texts or arrays lie within so many items; the offsets are int64, one more than rows */
bool
has_sound_offsets(const Py_buffer *buffer, Py_ssize_t item_count, Py_ssize_t row_count)
{
	const int64_t *offsets = buffer->buf;

	if (buffer->len != (row_count + 1) * (Py_ssize_t) sizeof(int64_t) || offsets[0] < 0)
		return false;
	for (Py_ssize_t row = 0; row < row_count; row++)
		if (offsets[row + 1] < offsets[row] || offsets[row + 1] - offsets[row] > UINT32_MAX)
			return false;
	return offsets[row_count] <= item_count;
}

static bool
fill_column(Column *column, SqlmlKind kind, PyObject *buffers, Py_ssize_t row_count)
{
	PyObject   *missing;
	PyObject   *values;
	PyObject   *offsets = NULL;
	bool		is_sound;

	if (!PyTuple_Check(buffers) ||
		!PyArg_ParseTuple(buffers, has_offsets(kind) ? "OOO" : "OO",
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
	if (has_offsets(kind))
		is_sound = is_sound &&
			has_sound_offsets(&column->offsets, column->values.len / VALUE_SIZES[kind], row_count);
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
		case SQLML_ARRAY:
			value.as.array.elements = (const double *) column->values.buf + offsets[row];
			value.as.array.count = (uint32_t) (offsets[row + 1] - offsets[row]);
			break;
	}
	return value;
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

PyObject *
model_raw_scores(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;

	return answer_buffers(self, arguments, score_rows, self->model->output_count);
}

PyObject *
model_contributions(PyObject *object, PyObject *arguments)
{
	const ModelObject *self = (ModelObject *) object;
	size_t		width = ((size_t) self->model->column_count + 1) * self->model->output_count;

	return answer_buffers(self, arguments, contribute_rows, width);
}
