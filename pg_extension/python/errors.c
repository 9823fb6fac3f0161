/*
 * errors.c
 *	  Failures as Python exceptions: SQLSTATE, message, detail and hint.
 */
#include "scoring.h"

bool
make_error_type(PyObject *module, ModuleState *state)
{
	state->scoring_error = PyErr_NewException("_scoring.ScoringError", NULL, NULL);
	return state->scoring_error != NULL &&
		PyModule_AddObjectRef(module, "ScoringError", state->scoring_error) == 0;
}

/* Raise a ScoringError; takes over the references to message, detail and hint */
void
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

void
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
