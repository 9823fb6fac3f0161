/*
 * module.c
 *	  The relay as a CPython module, in the limited API of 3.11.
 *
 * sqlml/proxy/relay.py is its only user and turns tuples into dataclasses.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "prefilter.h"
#include "relay.h"

#define BLOCK_BYTES (BLOCK_SLOTS * sizeof(int64_t))

typedef struct RelayObject
{
	PyObject_HEAD
	Relay	   *relay;
	PyThreadState *thread;		/* of run(), while it does without the lock */
	PyObject   *decide;
	PyObject   *words;
	Py_buffer	counters;
} RelayObject;

/* In the relay's thread. A fault of the reader of texts is not a reason to pass one on unread. */
static bool
call_decide(void *argument, const Session *session, const uint8_t *text, size_t size)
{
	RelayObject *self = argument;
	PyObject   *result;
	int			is_ours;

	PyEval_RestoreThread(self->thread);
	result = PyObject_CallFunction(self->decide, "y#sO", (const char *) text, (Py_ssize_t) size,
								   session->client_encoding,
								   session->standard_conforming_strings ? Py_True : Py_False);
	is_ours = result == NULL ? -1 : PyObject_IsTrue(result);
	if (is_ours < 0)
		PyErr_WriteUnraisable(self->decide);
	Py_XDECREF(result);
	self->thread = PyEval_SaveThread();
	return is_ours != 0;
}

static bool
read_socket_path(const char *path, Rules *rules)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t		size = strlen(path) + 1;

	if (size > sizeof(address.sun_path))
	{
		PyErr_SetString(PyExc_ValueError, "the path of the socket is too long");
		return false;
	}
	memcpy(address.sun_path, path, size);
	memcpy(&rules->upstream, &address, sizeof(address));
	rules->upstream_size = sizeof(address);
	return true;
}

/* None, the path of a Unix socket and "", or a numeric address and a port */
static bool
read_upstream(PyObject *upstream, Rules *rules)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	const char *host;
	const char *port;

	if (upstream == Py_None)
		return true;
	if (!PyArg_ParseTuple(upstream, "ss:upstream", &host, &port))
		return false;
	if (host[0] == '/')
		return read_socket_path(host, rules);
	if (getaddrinfo(host, port, &hints, &found) != 0)
	{
		PyErr_SetString(PyExc_ValueError, "the address of the server is not a number");
		return false;
	}
	memcpy(&rules->upstream, found->ai_addr, found->ai_addrlen);
	rules->upstream_size = found->ai_addrlen;
	freeaddrinfo(found);
	return true;
}

static bool
read_words(PyObject *object, Settings *settings)
{
	Words	   *words[] = {&settings->too_many, &settings->unchallenged, &settings->shutdown};
	Py_ssize_t	sizes[3];

	if (!PyArg_ParseTuple(object, "y#y#y#:words", &words[0]->data, &sizes[0],
						  &words[1]->data, &sizes[1], &words[2]->data, &sizes[2]))
		return false;
	for (int i = 0; i < 3; i++)
		words[i]->size = (size_t) sizes[i];
	return true;
}

static bool
read_rules(PyObject *object, Rules *rules)
{
	unsigned long long sessions;
	unsigned long long own_sessions;
	unsigned long long startup_ms;
	unsigned long long connect_ms;
	int			declines_encryption;
	int			relays_unencrypted;
	int			refuses_unchallenged;
	PyObject   *upstream;

	if (!PyArg_ParseTuple(object, "OKKKKppp:rules", &upstream, &sessions, &own_sessions, &startup_ms,
						  &connect_ms, &declines_encryption, &relays_unencrypted,
						  &refuses_unchallenged))
		return false;
	*rules = (Rules) {
		.sessions = sessions, .own_sessions = own_sessions,
		.startup_ms = startup_ms, .connect_ms = connect_ms,
		.declines_encryption = declines_encryption, .relays_unencrypted = relays_unencrypted,
		.refuses_unchallenged = refuses_unchallenged
	};
	return read_upstream(upstream, rules);
}

static bool
read_counters(const Py_buffer *counters, Py_ssize_t own_block, Settings *settings)
{
	settings->counters = counters->buf;
	settings->block_count = (size_t) counters->len / BLOCK_BYTES;
	settings->own_block = (size_t) own_block;
	if (own_block >= 0 && settings->own_block < settings->block_count)
		return true;
	PyErr_SetString(PyExc_ValueError, "there is no such block of counters");
	return false;
}

static bool
read_listeners(PyObject *listeners, Settings *settings)
{
	Py_ssize_t	size = PyTuple_Size(listeners);

	if (size < 0 || size > LISTENERS_MAX)
	{
		PyErr_SetString(PyExc_ValueError, "too many sockets to listen on");
		return false;
	}
	for (Py_ssize_t i = 0; i < size; i++)
		settings->listen_fds[i] = (int) PyLong_AsLong(PyTuple_GetItem(listeners, i));
	settings->listener_count = (int) size;
	return PyErr_Occurred() == NULL;
}

/* Relay(listeners, first_id, rules, words, counters, own_block, decide) */
static int
relay_init(PyObject *object, PyObject *arguments, PyObject *keywords)
{
	RelayObject *self = (RelayObject *) object;
	Settings	settings = {.decide = call_decide, .argument = self};
	unsigned long long first_id;
	PyObject   *listeners;
	PyObject   *rules;
	Py_ssize_t	own_block;

	if (self->relay != NULL || keywords != NULL)
	{
		PyErr_SetString(PyExc_TypeError, "a relay is made once, without keywords");
		return -1;
	}
	if (!PyArg_ParseTuple(arguments, "O!KOOw*nO:Relay", &PyTuple_Type, &listeners, &first_id,
						   &rules, &self->words, &self->counters, &own_block,
						  &self->decide))
	{
		self->words = self->decide = NULL;
		return -1;
	}
	Py_INCREF(self->words);
	Py_INCREF(self->decide);
	settings.first_id = first_id;
	if (!read_listeners(listeners, &settings) ||
		!read_rules(rules, &settings.rules) || !read_words(self->words, &settings) ||
		!read_counters(&self->counters, own_block, &settings))
		return -1;
	self->relay = make_relay(&settings);
	if (self->relay == NULL)
		PyErr_SetFromErrno(PyExc_OSError);
	return self->relay == NULL ? -1 : 0;
}

static void
relay_dealloc(PyObject *object)
{
	RelayObject *self = (RelayObject *) object;
	PyTypeObject *type = Py_TYPE(object);

	if (self->relay != NULL)
		free_relay(self->relay);
	if (self->counters.obj != NULL)
		PyBuffer_Release(&self->counters);
	Py_XDECREF(self->decide);
	Py_XDECREF(self->words);
	((freefunc) PyType_GetSlot(type, Py_tp_free)) (object);
	Py_DECREF(type);
}

static PyObject *
relay_run(PyObject *object, PyObject *ignored)
{
	RelayObject *self = (RelayObject *) object;

	(void) ignored;
	self->thread = PyEval_SaveThread();
	run_relay(self->relay);
	PyEval_RestoreThread(self->thread);
	Py_RETURN_NONE;
}

static PyObject *
relay_fileno(PyObject *object, PyObject *ignored)
{
	(void) ignored;
	return PyLong_FromLong(get_event_fd(((RelayObject *) object)->relay));
}

static PyObject *
make_bytes(const Bytes *bytes)
{
	return PyBytes_FromStringAndSize(bytes ? (const char *) bytes->data + bytes->start : NULL,
									 (Py_ssize_t) count_bytes(bytes));
}

static PyObject *
make_awaited(const Conversation *conversation)
{
	PyObject   *awaited = PyBytes_FromStringAndSize(NULL, (Py_ssize_t) conversation->count);

	if (awaited != NULL)
		for (uint32_t i = 0; i < conversation->count; i++)
			PyBytes_AsString(awaited)[i] = (char) get_awaited(conversation, i);
	return awaited;
}

static PyObject *
make_state(const Session *session)
{
	const Conversation *conversation = &session->conversation;

	return Py_BuildValue("(y#sNNNNNIN)", &conversation->status, (Py_ssize_t) 1,
						 session->client_encoding,
						 PyBool_FromLong(session->standard_conforming_strings),
						 PyBool_FromLong(conversation->is_logged_in),
						 make_awaited(conversation),
						 PyBool_FromLong(conversation->is_skipping),
						 PyBool_FromLong(conversation->is_copying_in),
						 (unsigned int) conversation->statement_index,
						 PyBool_FromLong(session->is_replication));
}

static PyObject *
make_startup(const Session *session)
{
	return Py_BuildValue("(KiN(NN))", (unsigned long long) session->id, session->client.fd,
						 make_bytes(session->client.held),
						 PyBool_FromLong(session->declined_tls),
						 PyBool_FromLong(session->declined_gss));
}

static PyObject *
make_handover(const Session *session)
{
	return Py_BuildValue("(KiiNNNINNN)", (unsigned long long) session->id, session->client.fd,
						 session->upstream.fd, make_state(session),
						 make_bytes(session->client.held), make_bytes(session->upstream.held),
						 (unsigned int) session->upstream.passing,
						 make_bytes(session->client.unsent), make_bytes(session->upstream.unsent),
						 PyBool_FromLong(session->client.has_ended));
}

static PyObject *
relay_take(PyObject *object, PyObject *ignored)
{
	RelayObject *self = (RelayObject *) object;
	Session    *session = take_session(self->relay);
	PyObject   *taken;

	(void) ignored;
	if (session == NULL)
		Py_RETURN_NONE;
	taken = session->upstream.fd < 0 ? make_startup(session) : make_handover(session);
	if (taken == NULL)
	{
		/* No memory, and nobody to give it to */
		close(session->client.fd);
		if (session->upstream.fd >= 0)
			close(session->upstream.fd);
		forget_session(self->relay);
	}
	free_session(session);
	return taken;
}

/* A numeric address and a port, or None */
static PyObject *
make_address(const Refusal *refusal)
{
	char		host[INET6_ADDRSTRLEN];
	char		port[8];

	if (refusal->client_size == 0 ||
		getnameinfo((const struct sockaddr *) &refusal->client, refusal->client_size,
					host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		Py_RETURN_NONE;
	return PyUnicode_FromFormat("%s:%s", host, port);
}

static PyObject *
relay_take_refusal(PyObject *object, PyObject *ignored)
{
	Refusal		refusal;

	(void) ignored;
	if (!take_refusal(((RelayObject *) object)->relay, &refusal))
		Py_RETURN_NONE;
	return Py_BuildValue("(KNiK)", (unsigned long long) refusal.session_id,
						 make_address(&refusal), (int) refusal.reason,
						 (unsigned long long) refusal.untold);
}

typedef struct Span
{
	const char *data;
	Py_ssize_t	size;
} Span;

static bool
fill(Bytes **bytes, Span span)
{
	return append_bytes(bytes, (const uint8_t *) span.data, (size_t) span.size);
}

static bool
fill_state(Session *session, PyObject *state)
{
	Conversation *conversation = &session->conversation;
	Span		status;
	Span		awaited;
	const char *encoding;
	int			standard_conforming_strings;
	int			is_logged_in;
	int			is_skipping;
	int			is_copying_in;
	int			is_replication;

	if (!PyArg_ParseTuple(state, "y#sppy#ppIp:state", &status.data, &status.size, &encoding,
						  &standard_conforming_strings, &is_logged_in,
						  &awaited.data, &awaited.size, &is_skipping, &is_copying_in,
						  &conversation->statement_index, &is_replication))
		return false;
	if (status.size != 1 || strlen(encoding) >= ENCODING_SIZE)
	{
		PyErr_SetString(PyExc_ValueError, "not the state of a session");
		return false;
	}
	conversation->status = status.data[0];
	conversation->is_logged_in = is_logged_in;
	conversation->is_skipping = is_skipping;
	conversation->is_copying_in = is_copying_in;
	session->standard_conforming_strings = standard_conforming_strings;
	session->is_replication = is_replication;
	strcpy(session->client_encoding, encoding);
	for (Py_ssize_t i = 0; i < awaited.size; i++)
		if (!await(conversation, (uint8_t) awaited.data[i]))
			return PyErr_NoMemory() != NULL;
	return true;
}

static Session *
read_handover(PyObject *arguments)
{
	Session    *session = make_session(-1, -1);
	unsigned long long id;
	PyObject   *state;
	Span		from_client;
	Span		from_upstream;
	Span		to_client;
	Span		to_upstream;
	int			has_client_ended;

	if (session == NULL)
		return (Session *) PyErr_NoMemory();
	if (!PyArg_ParseTuple(arguments, "KiiO!y#y#Iy#y#p:give", &id, &session->client.fd,
						  &session->upstream.fd, &PyTuple_Type, &state,
						  &from_client.data, &from_client.size,
						  &from_upstream.data, &from_upstream.size, &session->upstream.passing,
						  &to_client.data, &to_client.size, &to_upstream.data, &to_upstream.size,
						  &has_client_ended) ||
		!fill_state(session, state))
	{
		free_session(session);
		return NULL;
	}
	session->id = id;
	session->client.has_ended = has_client_ended;
	if (fill(&session->client.held, from_client) && fill(&session->upstream.held, from_upstream) &&
		fill(&session->client.unsent, to_client) && fill(&session->upstream.unsent, to_upstream))
		return session;
	free_session(session);
	return (Session *) PyErr_NoMemory();
}

static PyObject *
relay_give(PyObject *object, PyObject *arguments)
{
	Session    *session = read_handover(arguments);

	if (session == NULL)
		return NULL;
	give_session(((RelayObject *) object)->relay, session);
	Py_RETURN_NONE;
}

static PyObject *
relay_forget(PyObject *object, PyObject *ignored)
{
	(void) ignored;
	forget_session(((RelayObject *) object)->relay);
	Py_RETURN_NONE;
}

static PyObject *
relay_change_rules(PyObject *object, PyObject *rules)
{
	Rules		new_rules;

	if (!read_rules(rules, &new_rules))
		return NULL;
	change_rules(((RelayObject *) object)->relay, &new_rules);
	Py_RETURN_NONE;
}

static PyObject *
relay_drain(PyObject *object, PyObject *ignored)
{
	(void) ignored;
	drain_relay(((RelayObject *) object)->relay);
	Py_RETURN_NONE;
}

static PyObject *
relay_stop(PyObject *object, PyObject *ignored)
{
	(void) ignored;
	stop_relay(((RelayObject *) object)->relay);
	Py_RETURN_NONE;
}

static PyObject *
relay_count(PyObject *object, PyObject *ignored)
{
	(void) ignored;
	return PyLong_FromUnsignedLongLong(count_sessions(((RelayObject *) object)->relay));
}

static PyMethodDef relay_methods[] = {
	{"run", relay_run, METH_NOARGS, "relay until stop(), without the interpreter's lock"},
	{"fileno", relay_fileno, METH_NOARGS, "readable while there is something to take"},
	{"take", relay_take, METH_NOARGS, "the next session that the relay gives away, or None"},
	{"take_refusal", relay_take_refusal, METH_NOARGS, "the next session refused, or None"},
	{"give", relay_give, METH_VARARGS, "give a session that was taken back"},
	{"forget", relay_forget, METH_NOARGS, "a session that was taken has ended or was given back"},
	{"change_rules", relay_change_rules, METH_O, "for the sessions to come"},
	{"drain", relay_drain, METH_NOARGS, "accept no more, end sessions as they become idle"},
	{"stop", relay_stop, METH_NOARGS, "end all sessions; run() returns"},
	{"count", relay_count, METH_NOARGS, "the sessions that the relay has now or gave away"},
	{NULL, NULL, 0, NULL}
};

static PyType_Slot relay_slots[] = {
	{Py_tp_init, relay_init},
	{Py_tp_dealloc, relay_dealloc},
	{Py_tp_methods, relay_methods},
	{0, NULL}
};

static PyType_Spec relay_spec = {
	.name = "sqlml.proxy._relay.Relay",
	.basicsize = sizeof(RelayObject),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = relay_slots,
};

static PyObject *
module_may_concern_us(PyObject *module, PyObject *text)
{
	char	   *data;
	Py_ssize_t	size;

	(void) module;
	if (PyBytes_AsStringAndSize(text, &data, &size) < 0)
		return NULL;
	return PyBool_FromLong(may_concern_us((const uint8_t *) data, (size_t) size));
}

static PyMethodDef module_functions[] = {
	{"may_concern_us", module_may_concern_us, METH_O, "as in sqlml/proxy/prefilter.py"},
	{NULL, NULL, 0, NULL}
};

static int
module_exec(PyObject *module)
{
	PyObject   *type = PyType_FromModuleAndSpec(module, &relay_spec, NULL);
	int			code = type == NULL ? -1 : PyModule_AddObjectRef(module, "Relay", type);

	Py_XDECREF(type);
	return code;
}

static PyModuleDef_Slot module_slots[] = {
	{Py_mod_exec, module_exec},
	{0, NULL}
};

static struct PyModuleDef module_definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "_relay",
	.m_doc = "Sessions relayed in a thread of their own.",
	.m_methods = module_functions,
	.m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__relay(void);

PyMODINIT_FUNC
PyInit__relay(void)
{
	return PyModuleDef_Init(&module_definition);
}
