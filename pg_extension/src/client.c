/*
 * client.c
 *	  What a client does to a statement that waits: it vanishes or cancels.
 *
 * A session that waits reads nothing from its client and seldom writes, so it
 * would wait for ever for one that has gone.
 */
#include "postgres.h"

#include <poll.h>

/*
 * Their headers need not be on this machine. What Port has of them stands
 * behind the one member that is used here.
 */
#undef ENABLE_GSS
#undef ENABLE_SSPI
#undef USE_OPENSSL
#undef USE_SSL
#include "libpq/libpq-be.h"
#include "libpq/libpq.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "glue.h"

#define PROBE_PAUSE_MS 500

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

PG_FUNCTION_INFO_V1(sqlml_is_client_gone);
PG_FUNCTION_INFO_V1(sqlml_tell_client);
PG_FUNCTION_INFO_V1(sqlml_hold_cancel);

/* What has come of the connection, of these events and breakdowns */
static int
look_at_connection(short events)
{
	struct pollfd connection = {.fd = MyProcPort->sock, .events = events};

	return poll(&connection, 1, 0) > 0 ? connection.revents : 0;
}

/*
 * Say something that any client takes at any time and none minds. If nobody is
 * there, the other end's answer breaks the connection; false if it is broken.
 */
static bool
probe_connection(void)
{
	static TimestampTz probed_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	StringInfoData message;

	if (!TimestampDifferenceExceeds(probed_at, now, PROBE_PAUSE_MS))
		return true;
	probed_at = now;
	pq_beginmessage(&message, 'S');
	pq_sendstring(&message, "integer_datetimes");
	pq_sendstring(&message, GetConfigOption("integer_datetimes", false, false));
	pq_endmessage(&message);
	return pq_flush() == 0;
}

/* Whoever is told has to clean up first; his next word to the client ends the session. */
static bool
take_loss(void)
{
	bool		is_lost = ClientConnectionLost;

	ClientConnectionLost = false;
	return is_lost;
}

/*
 * Whether the connection to the client is broken. One that the client has
 * closed may be half-closed only, and then the client still waits for answers:
 * it is probed, so that it takes a second call or more to know.
 */
Datum
sqlml_is_client_gone(PG_FUNCTION_ARGS)
{
	int			found;

	(void) fcinfo;
	if (MyProcPort == NULL || whereToSendOutput != DestRemote)
		PG_RETURN_BOOL(false);
	found = look_at_connection(POLLRDHUP);
	if (found & (POLLERR | POLLHUP | POLLNVAL))
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(found & POLLRDHUP && !probe_connection() && take_loss());
}

/*
 * Raise a notice; whether it found the connection broken. That would end the
 * session at once, but for interrupts being held off; which may be for as long
 * as the socket takes the message only.
 */
Datum
sqlml_tell_client(PG_FUNCTION_ARGS)
{
	char	   *message = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		is_lost = false;

	if (MyProcPort == NULL || !(look_at_connection(POLLOUT) & POLLOUT))
		ereport(NOTICE, (errmsg_internal("%s", message)));
	else
	{
		HOLD_INTERRUPTS();
		ereport(NOTICE, (errmsg_internal("%s", message)));
		is_lost = take_loss();
		RESUME_INTERRUPTS();
	}
	PG_RETURN_BOOL(is_lost);
}

/*
 * Keep cancel requests, timeouts among them, for later; or no more. The next
 * error ends it too, as it ends all that holds off interrupts.
 */
Datum
sqlml_hold_cancel(PG_FUNCTION_ARGS)
{
	bool		is_held = QueryCancelHoldoffCount > 0;

	if (PG_GETARG_BOOL(0) && !is_held)
		HOLD_CANCEL_INTERRUPTS();
	else if (!PG_GETARG_BOOL(0) && is_held)
		RESUME_CANCEL_INTERRUPTS();
	PG_RETURN_VOID();
}
