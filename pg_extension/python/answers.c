/*
 * answers.c
 *	  What is made of raw scores: labels, values, probabilities.
 */
#include "scoring.h"

#define MAX_LISTED_CLASSES 20

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

int64_t
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

/* The label or the value, as a new reference */
PyObject *
make_prediction(const ModelObject *self, const double *scores)
{
	const SqlmlModel *model = self->model;

	if (model->problem == SQLML_REGRESSION)
		return PyFloat_FromDouble(sqlml_value(model, scores));
	return Py_XNewRef(PyTuple_GetItem(self->labels, sqlml_choose_class(model, scores)));
}

PyObject *
make_probability(const ModelObject *self, const double *scores, PyObject *label)
{
	int64_t		class_index = get_class(self, label);

	if (class_index < 0)
		return NULL;
	return PyFloat_FromDouble(sqlml_probability(self->model, scores, (uint32_t) class_index));
}

/* All raw scores, as a tuple */
PyObject *
make_scores(const ModelObject *self, const double *scores)
{
	PyObject   *tuple = PyTuple_New((Py_ssize_t) self->model->output_count);

	for (uint32_t k = 0; tuple != NULL && k < self->model->output_count; k++)
	{
		PyObject   *score = PyFloat_FromDouble(scores[k]);

		if (score == NULL || PyTuple_SetItem(tuple, (Py_ssize_t) k, score) < 0)
			Py_CLEAR(tuple);
	}
	return tuple;
}
