/*
 * route.c
 *	  The connections of a route, and the CPU time of those who serve it.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

double
read_clock(clockid_t clock)
{
	struct timespec now;

	if (clock_gettime(clock, &now) != 0)
		fail("a process that serves a route has ended");
	return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static clockid_t
find_clock(pid_t pid)
{
	clockid_t	clock;

	if (clock_getcpuclockid(pid, &clock) != 0)
		fail("there is no process %d", (int) pid);
	return clock;
}

/* Numbers separated by commas; none for the direct route */
void
read_processes(Route *route, const char *pids)
{
	while (*pids != '\0')
	{
		char	   *end;
		long		pid = strtol(pids, &end, 10);

		if (end == pids || route->clock_count == MAX_PROCESSES)
			fail("processes of route %s: %s", route->name, pids);
		route->clocks[route->clock_count++] = find_clock((pid_t) pid);
		pids = *end == ',' ? end + 1 : end;
	}
}

double
read_proxy_cpu(const Route *route)
{
	double		sum = 0;

	for (size_t i = 0; i < route->clock_count; i++)
		sum += read_clock(route->clocks[i]);
	return sum;
}

double
read_total_cpu(const Route *route)
{
	double		sum = read_proxy_cpu(route) + read_clock(CLOCK_PROCESS_CPUTIME_ID);

	for (size_t i = 0; i < route->connection_count; i++)
		sum += read_clock(route->connections[i].backend_clock);
	return sum;
}

PGconn *
open_session(const Route *route)
{
	PGconn	   *pg = PQconnectdb(route->conninfo);

	if (PQstatus(pg) != CONNECTION_OK)
		fail("route %s: %s", route->name, PQerrorMessage(pg));
	return pg;
}

/* The number that BackendKeyData names may be the proxy's own, so the server is asked */
static pid_t
ask_backend_pid(PGconn *pg)
{
	PGresult   *result = PQexec(pg, "SELECT pg_backend_pid()");
	pid_t		pid;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail("%s", PQerrorMessage(pg));
	pid = (pid_t) atoi(PQgetvalue(result, 0, 0));
	PQclear(result);
	return pid;
}

/* Log in with libpq; from there on the sockets are ours */
void
open_route(Route *route, size_t connection_count)
{
	route->connections = calloc(connection_count, sizeof(Connection));
	route->epoll = epoll_create1(0);
	if (route->connections == NULL || route->epoll < 0)
		fail("out of memory or files");
	for (; route->connection_count < connection_count; route->connection_count++)
	{
		Connection *connection = &route->connections[route->connection_count];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

		connection->pg = open_session(route);
		connection->backend_clock = find_clock(ask_backend_pid(connection->pg));
		connection->fd = PQsocket(connection->pg);
		if (epoll_ctl(route->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
			fail("epoll_ctl failed");
	}
}
