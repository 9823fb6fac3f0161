/*
 * snapshot.c
 *	  A cache of what holds as long as a query sees the same catalogue.
 *
 * A name may mean another version, and a user lose a privilege, only when the
 * snapshot, the user or the search path changes. Asking for these costs
 * nanoseconds, asking the catalogue a tenth of a millisecond.
 */
#include "server.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

typedef struct CacheObject
{
	PyObject_HEAD
	PyObject   *find;			/* called with a key that is not there */
	PyObject   *found;			/* dict */
	PyObject   *last_key;		/* or NULL */
	PyObject   *last_value;
	bool		is_valid;		/* whether what follows was noted */
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	CommandId	curcid;
	Oid			user;
	char	   *search_path;
} CacheObject;

static bool
is_current_cache(const CacheObject *self)
{
	Snapshot	snapshot;

	if (!self->is_valid || !ActiveSnapshotSet())
		return false;
	snapshot = GetActiveSnapshot();
	return snapshot->xmin == self->xmin && snapshot->xmax == self->xmax &&
		snapshot->xcnt == self->xcnt && snapshot->subxcnt == self->subxcnt &&
		snapshot->curcid == self->curcid && GetUserId() == self->user &&
		strcmp(namespace_search_path, self->search_path) == 0;
}

static void
forget(CacheObject *self)
{
	self->is_valid = false;
	Py_CLEAR(self->last_key);
	Py_CLEAR(self->last_value);
	PyDict_Clear(self->found);
	free(self->search_path);
	self->search_path = NULL;
}

/*
 * Note what the cache holds for; without a snapshot it holds for nothing
 */
static void
note_snapshot(CacheObject *self)
{
	Snapshot	snapshot;

	if (!ActiveSnapshotSet())
		return;
	snapshot = GetActiveSnapshot();
	self->xmin = snapshot->xmin;
	self->xmax = snapshot->xmax;
	self->xcnt = snapshot->xcnt;
	self->subxcnt = snapshot->subxcnt;
	self->curcid = snapshot->curcid;
	self->user = GetUserId();
	self->search_path = strdup(namespace_search_path);
	self->is_valid = self->search_path != NULL;
}

static PyObject *
find_value(CacheObject *self, PyObject *key)
{
	PyObject   *value = PyDict_GetItemWithError(self->found, key);

	if (value != NULL || PyErr_Occurred())
		return Py_XNewRef(value);
	value = PyObject_CallFunctionObjArgs(self->find, key, NULL);
	if (value != NULL && PyDict_SetItem(self->found, key, value) < 0)
		Py_CLEAR(value);
	return value;
}

static PyObject *
cache_get(PyObject *object, PyObject *key)
{
	CacheObject *self = (CacheObject *) object;
	PyObject   *value;

	if (!PyUnicode_Check(key))
		return PyErr_Format(PyExc_TypeError, "a key must be text");
	if (!is_current_cache(self))
	{
		forget(self);
		note_snapshot(self);
	}
	else if (self->last_key != NULL && PyUnicode_Compare(self->last_key, key) == 0)
		return Py_NewRef(self->last_value);
	value = find_value(self, key);
	if (value == NULL)
		return NULL;
	Py_XDECREF(self->last_key);
	Py_XDECREF(self->last_value);
	self->last_key = Py_NewRef(key);
	self->last_value = Py_NewRef(value);
	return value;
}

static PyObject *
cache_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
	PyObject   *find;
	PyObject   *found;
	CacheObject *self;

	if (keywords != NULL || !PyArg_ParseTuple(arguments, "O:SnapshotCache", &find))
		return NULL;
	found = PyDict_New();
	if (found == NULL)
		return NULL;
	self = PyObject_New(CacheObject, type);
	if (self == NULL)
	{
		Py_DECREF(found);
		return NULL;
	}
	self->find = Py_NewRef(find);
	self->found = found;
	self->last_key = NULL;
	self->last_value = NULL;
	self->is_valid = false;
	self->search_path = NULL;
	return (PyObject *) self;
}

static void
cache_dealloc(PyObject *object)
{
	CacheObject *self = (CacheObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	forget(self);
	Py_DECREF(self->find);
	Py_DECREF(self->found);
	PyObject_Free(object);
	Py_DECREF(type);
}

static PyMethodDef cache_methods[] = {
	{"get", cache_get, METH_O, "get(key) -> what find(key) gave in this snapshot"},
	{NULL, NULL, 0, NULL}
};

static PyType_Slot cache_slots[] = {
	{Py_tp_new, cache_new},
	{Py_tp_dealloc, cache_dealloc},
	{Py_tp_methods, cache_methods},
	{Py_tp_doc, "SnapshotCache(find): values by text, while a query sees the same catalogue."},
	{0, NULL}
};

PyType_Spec cache_spec = {
	.name = "_scoring.SnapshotCache",
	.basicsize = sizeof(CacheObject),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = cache_slots,
};
