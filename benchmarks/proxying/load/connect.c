/*
 * connect.c
 *	  One session after the other: connect, log in, SELECT 1, leave.
 */
#include "load.h"

/* The other side ends a session after we have left it */
static const struct timespec SETTLING = {.tv_nsec = 10 * 1000 * 1000};

static void
connect_once(const Route *route)
{
	PGconn	   *pg = open_session(route);
	PGresult   *result = PQexec(pg, "SELECT 1");

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("route %s: %s", route->name, PQerrorMessage(pg));
	PQclear(result);
	PQfinish(pg);
}

Slice
connect_again(Route *route, double slice_s)
{
	Slice		slice = {0};
	double		proxy_cpu = read_proxy_cpu(route);
	double		start = read_clock(CLOCK_MONOTONIC);

	do
	{
		connect_once(route);
		slice.exchanges++;
		slice.seconds = read_clock(CLOCK_MONOTONIC) - start;
	} while (slice.seconds < slice_s);
	nanosleep(&SETTLING, NULL);
	slice.proxy_cpu = read_proxy_cpu(route) - proxy_cpu;
	return slice;
}
