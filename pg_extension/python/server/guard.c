/*
 * guard.c
 *	  Errors of the server become Python exceptions.
 *
 * As PL/Python does it for plpy.execute: what failed is rolled back, so that
 * the exception may be caught, and the session goes on.
 */
#include "server.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/elog.h"
#include "utils/resowner.h"

static PyObject *
message_object(const char *message)
{
	SqlmlText	text;

	if (message == NULL)
		return NULL;
	text = text_from_server(message, (int) strlen(message));
	return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t) text.size, "replace");
}

bool
guard(const ModuleState *state, void (*action) (void *argument), void *argument)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		action(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error == NULL)
		return true;
	raise_error(state, unpack_sql_state(error->sqlerrcode), message_object(error->message),
				message_object(error->detail), message_object(error->hint));
	FreeErrorData(error);
	return false;
}
