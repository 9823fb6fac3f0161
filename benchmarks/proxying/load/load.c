/*
 * load.c
 *	  Paired micro-slices: all routes in every cycle, each in its turn, in random order.
 *
 *	load SCRIPT CLIENTS CYCLES SLICE_S SEED (NAME CONNINFO PIDS)...
 *
 * The script "-" means sessions one after the other in place of exchanges within sessions.
 * Writes one line a slice: name, tab, seconds, exchanges, bytes, CPU seconds of the route's
 * processes, CPU seconds of all. Cycle 0 warms up and is not written.
 */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROUTE 6
#define ROUTE_ARGUMENTS 3

static uint64_t random_state;

void
fail(const char *format,...)
{
	va_list		arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (SplitMix64), 2014 */
uint32_t
random_below(uint32_t limit)
{
	uint64_t	bits = random_state += 0x9e3779b97f4a7c15;

	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
	bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
	return (uint32_t) ((bits ^ (bits >> 31)) % limit);
}

static void
shuffle(Route **routes, uint32_t count)
{
	for (uint32_t i = count; i > 1; i--)
	{
		uint32_t	j = random_below(i);
		Route	   *route = routes[j];

		routes[j] = routes[i - 1];
		routes[i - 1] = route;
	}
}

static void
run_cycles(Route **routes, uint32_t count, const Script *script, long cycles, double slice_s)
{
	for (long cycle = 0; cycle <= cycles; cycle++)
	{
		shuffle(routes, count);
		for (uint32_t i = 0; i < count; i++)
		{
			Route	   *route = routes[i];
			Slice		slice = script->repeated.count > 0
				? replay(route, script, slice_s) : connect_again(route, slice_s);

			if (cycle > 0)
				printf("%s\t%.9f %llu %llu %.9f %.9f\n", route->name, slice.seconds,
					   (unsigned long long) slice.exchanges, (unsigned long long) slice.bytes,
					   slice.proxy_cpu, slice.total_cpu);
		}
		fflush(stdout);
	}
}

int
main(int argc, char **argv)
{
	uint32_t	count = argc > FIRST_ROUTE ? (uint32_t) (argc - FIRST_ROUTE) / ROUTE_ARGUMENTS : 0;
	Route	   *routes = calloc(count + 1, sizeof(Route));
	Route	  **order = calloc(count + 1, sizeof(Route *));
	Script		script = {0};

	if (count == 0 || routes == NULL || order == NULL)
		fail("usage: load SCRIPT CLIENTS CYCLES SLICE_S SEED (NAME CONNINFO PIDS)...");
	random_state = strtoull(argv[5], NULL, 10);
	if (strcmp(argv[1], "-") != 0)
		read_script(argv[1], &script);
	for (uint32_t i = 0; i < count; i++)
	{
		char	  **arguments = argv + FIRST_ROUTE + ROUTE_ARGUMENTS * i;

		order[i] = &routes[i];
		routes[i].name = arguments[0];
		routes[i].conninfo = arguments[1];
		read_processes(&routes[i], arguments[2]);
		if (script.repeated.count == 0)
			continue;
		open_route(&routes[i], strtoul(argv[2], NULL, 10));
		replay_once(&routes[i], &script.setup);
	}
	run_cycles(order, count, &script, strtol(argv[3], NULL, 10), strtod(argv[4], NULL));
	return 0;
}
