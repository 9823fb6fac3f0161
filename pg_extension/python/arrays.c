/*
 * arrays.c
 *	  One row as three lists: numbers, texts, packed.
 *
 * PL/Python turns an array into a list far faster than it takes as many
 * arguments. A binding says which column is where. Booleans are among the
 * numbers, as 0 and 1. What is packed comes as PostgreSQL sends it, numbers
 * with their most significant byte first: a moment as timestamp_send gives it,
 * microseconds since 2000; an array as array_send gives a float8[].
 */
#include "scoring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIST_COUNT 3
#define MOMENT_SIZE 8
#define ARRAY_HEADER 12			/* number of dimensions, flags, type of the elements */
#define ARRAY_DIMENSION 8		/* size and lower bound */
#define ARRAY_DIMENSIONS_MAX 6
#define ELEMENT_SIZE 8

static const int LIST_OF_KIND[] = {
	[SQLML_NUMERIC] = 0, [SQLML_BOOLEAN] = 0, [SQLML_CATEGORY] = 1, [SQLML_DATETIME] = 2,
	[SQLML_ARRAY] = 2
};

typedef struct Place
{
	int			list;
	Py_ssize_t	index;
	double	   *elements;		/* of an array, until the next row */
	size_t		capacity;
} Place;

typedef struct BindingObject
{
	PyObject_HEAD
	ModelObject *model;
	Place	   *places;			/* by column of the model */
	Py_ssize_t	sizes[LIST_COUNT];
} BindingObject;

/* The place of a column among the names of its list */
static bool
find_place(const ModelObject *model, const SqlmlColumn *column, PyObject *names[], Place *place)
{
	PyObject   *name = text_object(column->name);

	if (name == NULL)
		return false;
	place->list = LIST_OF_KIND[column->kind];
	place->index = PySequence_Index(names[place->list], name);
	if (place->index < 0 && PyErr_ExceptionMatches(PyExc_ValueError))
	{
		PyErr_Clear();
		raise_error(model->state, "42703",
					PyUnicode_FromFormat("the function has no argument for column \"%U\"", name),
					PyUnicode_FromFormat("Model \"%U\" has changed since the function was made.",
										 model->name),
					PyUnicode_FromString("Make the function again with CALL sqlml_plpython.create_function."));
	}
	Py_DECREF(name);
	return place->index >= 0;
}

PyObject *
model_bind(PyObject *object, PyObject *arguments)
{
	ModelObject *model = (ModelObject *) object;
	PyObject   *names[LIST_COUNT];
	BindingObject *self;
	uint32_t	column = 0;

	if (!PyArg_ParseTuple(arguments, "OOO:bind", &names[0], &names[1], &names[2]))
		return NULL;
	self = PyObject_New(BindingObject, (PyTypeObject *) model->state->binding_type);
	if (self == NULL)
		return NULL;
	self->model = (ModelObject *) Py_NewRef(object);
	self->places = calloc((size_t) model->model->column_count + 1, sizeof(Place));
	if (self->places == NULL)
		PyErr_NoMemory();
	for (int list = 0; list < LIST_COUNT; list++)
		self->sizes[list] = PySequence_Size(names[list]);
	while (!PyErr_Occurred() && column < model->model->column_count)
	{
		find_place(model, &model->model->columns[column], names, &self->places[column]);
		column++;
	}
	if (PyErr_Occurred())
		Py_CLEAR(self);
	return (PyObject *) self;
}

static void
binding_dealloc(PyObject *object)
{
	BindingObject *self = (BindingObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	for (uint32_t i = 0; i < self->model->model->column_count && self->places != NULL; i++)
		free(self->places[i].elements);
	free(self->places);
	Py_DECREF(self->model);
	PyObject_Free(object);
	Py_DECREF(type);
}

static uint64_t
read_big_endian(const char *bytes, int size)
{
	uint64_t	number = 0;

	for (int i = 0; i < size; i++)
		number = number << 8 | (uint8_t) bytes[i];
	return number;
}

static bool
read_moment(PyObject *item, SqlmlValue *value)
{
	char	   *bytes;
	Py_ssize_t	size;

	if (PyBytes_AsStringAndSize(item, &bytes, &size) < 0)
		return false;
	if (size != MOMENT_SIZE)
	{
		PyErr_SetString(PyExc_ValueError, "a moment must have eight bytes");
		return false;
	}
	value->as.micros = (int64_t) read_big_endian(bytes, MOMENT_SIZE);
	/* PostgreSQL's infinities */
	value->is_missing = value->as.micros == INT64_MAX || value->as.micros == INT64_MIN;
	return true;
}

/* Have room for the elements, one of which takes no fewer bytes than its size does */
static bool
reserve_elements(Place *place, size_t size)
{
	size_t		count = size / sizeof(uint32_t) + 1;
	double	   *elements;

	if (count <= place->capacity)
		return true;
	elements = realloc(place->elements, count * sizeof(double));
	if (elements == NULL)
	{
		PyErr_NoMemory();
		return false;
	}
	place->elements = elements;
	place->capacity = count;
	return true;
}

/* Read elements, each its size and its bytes; how many, or -1 where they are cut short */
static Py_ssize_t
read_elements(const char *bytes, const char *end, double *elements)
{
	Py_ssize_t	count = 0;

	while (end - bytes >= (Py_ssize_t) sizeof(uint32_t))
	{
		uint32_t	size = (uint32_t) read_big_endian(bytes, sizeof(uint32_t));

		bytes += sizeof(uint32_t);
		elements[count] = NAN;
		if (size != UINT32_MAX)
		{
			uint64_t	bits;

			if (size != ELEMENT_SIZE || end - bytes < ELEMENT_SIZE)
				return -1;
			bits = read_big_endian(bytes, ELEMENT_SIZE);
			memcpy(&elements[count], &bits, sizeof(bits));
			bytes += ELEMENT_SIZE;
		}
		count++;
	}
	return bytes == end ? count : -1;
}

static bool
read_array(PyObject *item, Place *place, SqlmlValue *value)
{
	char	   *bytes;
	Py_ssize_t	size;
	Py_ssize_t	header = ARRAY_HEADER;
	Py_ssize_t	count = -1;

	if (PyBytes_AsStringAndSize(item, &bytes, &size) < 0 ||
		!reserve_elements(place, (size_t) size))
		return false;
	if (size >= header)
	{
		uint64_t	dimensions = read_big_endian(bytes, sizeof(uint32_t));

		if (dimensions <= ARRAY_DIMENSIONS_MAX)
			header += (Py_ssize_t) dimensions * ARRAY_DIMENSION;
		if (dimensions <= ARRAY_DIMENSIONS_MAX && size >= header)
			count = read_elements(bytes + header, bytes + size, place->elements);
	}
	if (count < 0)
	{
		PyErr_SetString(PyExc_ValueError, "an array must be as array_send gives a float8[]");
		return false;
	}
	value->as.array.elements = place->elements;
	value->as.array.count = (uint32_t) count;
	return true;
}

static bool
read_item(const SqlmlColumn *column, PyObject *item, Place *place, SqlmlValue *value)
{
	value->is_missing = item == Py_None;
	if (value->is_missing)
		return true;
	switch (column->kind)
	{
		case SQLML_NUMERIC:
		case SQLML_BOOLEAN:
			value->as.number = PyFloat_AsDouble(item);
			return value->as.number != -1.0 || !PyErr_Occurred();
		case SQLML_CATEGORY:
			if (!get_text(item, &value->as.text))
				return false;
			value->as.text = sqlml_json_text(column, value->as.text);
			return true;
		case SQLML_ARRAY:
			return read_array(item, place, value);
		default:
			return read_moment(item, value);
	}
}

/* Whether the lists are as long as the binding says; None is an empty one */
static bool
has_sound_lists(const BindingObject *self, PyObject *const *lists, Py_ssize_t count)
{
	for (int list = 0; list < LIST_COUNT; list++)
		if (count <= list ||
			(lists[list] == Py_None ? self->sizes[list] != 0
			 : !PyList_Check(lists[list]) || PyList_Size(lists[list]) != self->sizes[list]))
		{
			PyErr_SetString(PyExc_TypeError, "the lists do not have the items that were bound");
			return false;
		}
	return true;
}

/* The scores are in the model's row. NULL for an error. */
static const double *
score_lists(const BindingObject *self, PyObject *const *lists, Py_ssize_t count)
{
	const SqlmlModel *model = self->model->model;
	const Row  *row = &self->model->row;

	if (!has_sound_lists(self, lists, count))
		return NULL;
	for (uint32_t i = 0; i < model->column_count; i++)
	{
		Place	   *place = &self->places[i];

		if (!read_item(&model->columns[i], PyList_GetItem(lists[place->list], place->index),
					   place, &row->values[i]))
			return NULL;
	}
	sqlml_score(model, row->values, row->workspace, row->scores);
	return row->scores;
}

static PyObject *
binding_predict(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
	const BindingObject *self = (BindingObject *) object;
	const double *scores = score_lists(self, arguments, count);

	return scores == NULL ? NULL : make_prediction(self->model, scores);
}

static PyObject *
binding_probability(PyObject *object, PyObject *const *arguments, Py_ssize_t count)
{
	const BindingObject *self = (BindingObject *) object;
	const double *scores = score_lists(self, arguments, count);

	if (scores == NULL)
		return NULL;
	if (count <= LIST_COUNT || !PyUnicode_Check(arguments[LIST_COUNT]))
		return PyErr_Format(PyExc_TypeError, "a class must be given as text");
	return make_probability(self->model, scores, arguments[LIST_COUNT]);
}

static PyMethodDef binding_methods[] = {
	{"predict", (PyCFunction) (void (*) (void)) binding_predict, METH_FASTCALL,
	"predict(numbers, texts, packed) -> label or float"},
	{"probability", (PyCFunction) (void (*) (void)) binding_probability, METH_FASTCALL,
	"probability(numbers, texts, packed, label) -> float"},
	{NULL, NULL, 0, NULL}
};

static PyType_Slot binding_slots[] = {
	{Py_tp_dealloc, binding_dealloc},
	{Py_tp_methods, binding_methods},
	{Py_tp_doc, "Which columns of a model are where in three lists."},
	{0, NULL}
};

PyType_Spec binding_spec = {
	.name = "_scoring.Binding",
	.basicsize = sizeof(BindingObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = binding_slots,
};
