/*
 * load.h
 *	  Routes to a server, and slices of work on them.
 *
 * A route is one way from this client to the server: direct or through a proxy. A slice is a
 * short stretch of time in which one route works. In each cycle every route gets one slice, in
 * random order, so that what the machine's other work does to one it does to all.
 */
#ifndef LOAD_H
#define LOAD_H

#include <libpq-fe.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MAX_PROCESSES 64
#define PATCH_WIDTH 7			/* digits of the number that a patch writes */

/* One message or several out, then all that comes in up to a message of the awaited code */
typedef struct Step
{
	char		awaited;
	size_t		chunk;			/* bytes of one write at most */
	ptrdiff_t	patch;			/* where to write a random number; -1: nowhere */
	size_t		size;
	char	   *bytes;
} Step;

typedef struct Exchange
{
	Step	   *steps;
	size_t		count;
} Exchange;

/* What every connection does once, what it does before each slice, and what is measured */
typedef struct Script
{
	Exchange	setup;
	Exchange	before;
	Exchange	repeated;
	uint32_t	patch_range;	/* patches are 1 to this */
} Script;

typedef struct Connection
{
	PGconn	   *pg;
	int			fd;
	clockid_t	backend_clock;
	const Exchange *exchange;
	size_t		step;
	size_t		sent;
	char		header[5];
	size_t		header_size;
	size_t		skip;			/* bytes left of the message being read */
	int			waits_to_write;
} Connection;

typedef struct Route
{
	const char *name;
	const char *conninfo;
	clockid_t	clocks[MAX_PROCESSES];
	size_t		clock_count;
	Connection *connections;
	size_t		connection_count;
	int			epoll;
} Route;

typedef struct Slice
{
	double		seconds;
	uint64_t	exchanges;
	uint64_t	bytes;			/* in both directions */
	double		proxy_cpu;		/* seconds of the route's processes */
	double		total_cpu;		/* those, the backends' and ours; 0: not known */
} Slice;

/* load.c */
extern void fail(const char *format,...) __attribute__((noreturn, format(printf, 1, 2)));
extern uint32_t random_below(uint32_t limit);

/* route.c */
extern void open_route(Route *route, size_t connection_count);
extern PGconn *open_session(const Route *route);
extern void read_processes(Route *route, const char *pids);
extern double read_proxy_cpu(const Route *route);
extern double read_total_cpu(const Route *route);
extern double read_clock(clockid_t clock);

/* script.c */
extern void read_script(const char *path, Script *script);

/* replay.c */
extern void replay_once(Route *route, const Exchange *exchange);
extern Slice replay(Route *route, const Script *script, double slice_s);

/* connect.c */
extern Slice connect_again(Route *route, double slice_s);

#endif
