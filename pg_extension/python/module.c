/*
 * module.c
 *	  The scoring core as a CPython module, in the limited API of 3.11.
 *
 * The wheel has it as sqlml._scoring. The server's PL/Python loads the
 * same with SQLML_SERVER, which adds what only a backend can do.
 */
#include "scoring.h"

static PyObject *
make_type(PyObject *module, PyType_Spec *spec, const char *name)
{
	PyObject   *type = PyType_FromModuleAndSpec(module, spec, NULL);

	if (type != NULL && PyModule_AddObjectRef(module, name, type) < 0)
		Py_CLEAR(type);
	return type;
}

static int
module_exec(PyObject *module)
{
	ModuleState *state = PyModule_GetState(module);

	if (!make_error_type(module, state) || !find_json(module, state))
		return -1;
	state->model_type = make_type(module, &model_spec, "Model");
	state->binding_type = make_type(module, &binding_spec, "Binding");
	if (state->model_type == NULL || state->binding_type == NULL)
		return -1;
#ifdef SQLML_SERVER
	state->cache_type = make_type(module, &cache_spec, "SnapshotCache");
	state->query_type = make_type(module, &query_spec, "Query");
	if (state->cache_type == NULL || state->query_type == NULL)
		return -1;
#endif
	return 0;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
	ModuleState *state = PyModule_GetState(module);

	Py_VISIT(state->model_type);
	Py_VISIT(state->binding_type);
	Py_VISIT(state->scoring_error);
	Py_VISIT(state->read_json);
#ifdef SQLML_SERVER
	Py_VISIT(state->cache_type);
	Py_VISIT(state->query_type);
#endif
	return 0;
}

static int
module_clear(PyObject *module)
{
	ModuleState *state = PyModule_GetState(module);

	Py_CLEAR(state->model_type);
	Py_CLEAR(state->binding_type);
	Py_CLEAR(state->scoring_error);
	Py_CLEAR(state->read_json);
#ifdef SQLML_SERVER
	Py_CLEAR(state->cache_type);
	Py_CLEAR(state->query_type);
#endif
	return 0;
}

static PyMethodDef module_functions[] = {
	{"open", module_open, METH_VARARGS,
		"open(data, name[, evaluator, instructions]) -> Model; the name is for messages, the "
	"numbers are those of evaluator.h"},
	{"read_number", module_read_number, METH_O, "read a JSON number as a float"},
	{"tokenize", module_tokenize, METH_VARARGS,
		"tokenize(content, offsets, missing, bigrams) -> (bytes of int64, bytes of uint64): where "
	"each text's terms begin, and the terms' hashes in their order"},
	{"text_counts", module_text_counts, METH_VARARGS,
		"text_counts(content, offsets, missing) -> bytes of float64: characters, words, digits "
	"and capitals of each text, NaN where it is missing"},
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

PyMODINIT_FUNC PyInit__scoring(void);

PyMODINIT_FUNC
PyInit__scoring(void)
{
	return PyModuleDef_Init(&module_definition);
}
