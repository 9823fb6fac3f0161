/*
 * scoring.h
 *	  What the files of the CPython module share. Limited API of 3.11.
 */
#ifndef SQLML_SCORING_H
#define SQLML_SCORING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "sqlml_core.h"

/* hidden, lest a name of PostgreSQL's own take a call */
#pragma GCC visibility push(hidden)

typedef struct ModuleState
{
	PyObject   *model_type;
	PyObject   *binding_type;
	PyObject   *scoring_error;
	PyObject   *read_json;		/* reads numbers as PostgreSQL casts them to float8 */
#ifdef SQLML_SERVER
	PyObject   *cache_type;
	PyObject   *query_type;
#endif
} ModuleState;

/* What one row is scored in */
typedef struct Row
{
	SqlmlValue *values;
	SqlmlWorkspace *workspace;
	double	   *scores;
} Row;

typedef struct ModelObject
{
	PyObject_HEAD
	SqlmlModel *model;
	ModuleState *state;
	PyObject   *module;			/* keeps the state alive */
	PyObject   *data;			/* the bytes, which the model points into */
	PyObject   *name;			/* for messages */
	PyObject   *labels;			/* tuple of the classes */
	Row			row;			/* for one row at a time */
	size_t		size_bytes;		/* all memory, data included */
} ModelObject;

/* errors.c: a ScoringError has SQLSTATE, message, detail and hint */
extern bool make_error_type(PyObject *module, ModuleState *state);
extern void raise_error(const ModuleState *state, const char *sqlstate, PyObject *message,
						PyObject *detail, PyObject *hint);
extern void raise_open_error(const ModuleState *state, const SqlmlError *error, PyObject *name);

/* model.c: an opened artifact */
extern PyType_Spec model_spec;

extern PyObject *module_open(PyObject *module, PyObject *arguments);
extern bool make_row(Row *row, const SqlmlModel *model);
extern void free_row(Row *row);
extern PyObject *text_object(SqlmlText text);
extern bool get_text(PyObject *object, SqlmlText *text);

/* answers.c: what is made of raw scores */
extern PyObject *make_prediction(const ModelObject *self, const double *scores);
extern PyObject *make_probability(const ModelObject *self, const double *scores, PyObject *label);
extern PyObject *make_scores(const ModelObject *self, const double *scores);
extern int64_t get_class(const ModelObject *self, PyObject *label);

/* columns.c: many rows */
extern PyObject *model_raw_scores(PyObject *object, PyObject *arguments);
extern PyObject *model_contributions(PyObject *object, PyObject *arguments);
extern bool has_sound_offsets(const Py_buffer *buffer, Py_ssize_t item_count,
							  Py_ssize_t row_count);

/* texts.c: the tokens of many texts */
extern PyObject *module_tokenize(PyObject *module, PyObject *arguments);
extern PyObject *module_text_counts(PyObject *module, PyObject *arguments);

/* json.c: one row as JSON */
extern bool find_json(PyObject *module, ModuleState *state);
extern PyObject *module_read_number(PyObject *module, PyObject *text);
extern PyObject *model_predict_json(PyObject *object, PyObject *arguments);
extern PyObject *model_probability_json(PyObject *object, PyObject *arguments);
extern PyObject *model_raw_scores_json(PyObject *object, PyObject *json);

/* arrays.c: one row as arrays of its numbers, texts and packed values */
extern PyType_Spec binding_spec;

extern PyObject *model_bind(PyObject *object, PyObject *arguments);

#ifdef SQLML_SERVER
/* server.h has what these are */
extern PyType_Spec cache_spec;
extern PyType_Spec query_spec;

extern PyObject *model_open_query(PyObject *object, PyObject *arguments);
#endif

#pragma GCC visibility pop

#endif							/* SQLML_SCORING_H */
