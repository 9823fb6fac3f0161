/*
 * replay.c
 *	  Steps of the protocol on all connections of a route, from one epoll loop.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define EVENT_COUNT 64
#define HEADER_SIZE 5

static char scratch[1 << 17];

static const Step *
current_step(const Connection *connection)
{
	return &connection->exchange->steps[connection->step];
}

static void
watch(const Route *route, Connection *connection, int waits_to_write)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

	if (waits_to_write)
		event.events |= EPOLLOUT;
	if (connection->waits_to_write != waits_to_write
		&& epoll_ctl(route->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0)
		fail("epoll_ctl failed");
	connection->waits_to_write = waits_to_write;
}

/* Write what is left of the step, as far as the socket takes it */
static uint64_t
send_step(const Route *route, Connection *connection)
{
	const Step *step = current_step(connection);
	uint64_t	written = 0;

	while (connection->sent < step->size)
	{
		size_t		rest = step->size - connection->sent;
		size_t		size = rest < step->chunk ? rest : step->chunk;
		ssize_t		count = send(connection->fd, step->bytes + connection->sent, size,
								 MSG_NOSIGNAL);

		if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (count < 0 && errno != EINTR)
			fail("route %s: send: %s", route->name, strerror(errno));
		if (count > 0)
		{
			connection->sent += (size_t) count;
			written += (uint64_t) count;
		}
	}
	watch(route, connection, connection->sent < step->size);
	return written;
}

static uint64_t
begin_step(const Route *route, Connection *connection, uint32_t patch_range)
{
	const Step *step = current_step(connection);
	uint64_t	written;

	connection->sent = 0;
	if (step->patch >= 0)
	{
		char		digits[PATCH_WIDTH + 1];

		snprintf(digits, sizeof digits, "%0*u", PATCH_WIDTH,
				 1 + random_below(patch_range));
		memcpy(step->bytes + step->patch, digits, PATCH_WIDTH);
	}
	written = send_step(route, connection);
	/* The next connection patches the same bytes */
	if (step->patch >= 0 && connection->sent < step->size)
		fail("route %s: a short message did not fit into the socket", route->name);
	return written;
}

static void
fail_with_error(const Route *route, const char *fields, size_t size)
{
	char		text[512];
	size_t		length = size < sizeof text - 1 ? size : sizeof text - 1;

	for (size_t i = 0; i < length; i++)
		text[i] = fields[i] == '\0' ? ' ' : fields[i];
	text[length] = '\0';
	fail("route %s: the server says: %s", route->name, text);
}

/* Read messages; whether one of the awaited code ended with these bytes */
static int
read_messages(const Route *route, Connection *connection, const char *data, size_t size)
{
	const char *end = data + size;
	int			is_answered = 0;

	while (data < end)
	{
		size_t		left = (size_t) (end - data);

		if (connection->skip > 0)
		{
			size_t		skipped = left < connection->skip ? left : connection->skip;

			connection->skip -= skipped;
			data += skipped;
		}
		else
		{
			size_t		wanted = HEADER_SIZE - connection->header_size;
			size_t		taken = left < wanted ? left : wanted;
			const unsigned char *header = (unsigned char *) connection->header;

			memcpy(connection->header + connection->header_size, data, taken);
			connection->header_size += taken;
			data += taken;
			if (connection->header_size < HEADER_SIZE)
				break;
			connection->header_size = 0;
			connection->skip = ((size_t) header[1] << 24 | (size_t) header[2] << 16
								| (size_t) header[3] << 8 | header[4]) - 4;
			if (header[0] == 'E')
				fail_with_error(route, data, (size_t) (end - data));
		}
		if (connection->skip == 0 && connection->header[0] == current_step(connection)->awaited)
			is_answered = 1;
	}
	return is_answered;
}

/* One read; whether the step is answered */
static int
receive(const Route *route, Connection *connection, uint64_t *bytes)
{
	ssize_t		count = recv(connection->fd, scratch, sizeof scratch, 0);

	if (count == 0)
		fail("route %s: the connection was closed", route->name);
	if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		fail("route %s: recv: %s", route->name, strerror(errno));
	if (count < 0)
		return 0;
	*bytes += (uint64_t) count;
	return read_messages(route, connection, scratch, (size_t) count);
}

static uint64_t
begin_exchange(const Route *route, Connection *connection, const Exchange *exchange,
			   uint32_t patch_range)
{
	connection->exchange = exchange;
	connection->step = 0;
	return begin_step(route, connection, patch_range);
}

/* All connections at once, again and again until the deadline; ends with the last answer */
static Slice
run_exchanges(Route *route, const Exchange *exchange, uint32_t patch_range, double deadline)
{
	Slice		slice = {0};
	size_t		busy = route->connection_count;

	for (size_t i = 0; i < busy; i++)
		slice.bytes += begin_exchange(route, &route->connections[i], exchange, patch_range);
	while (busy > 0)
	{
		struct epoll_event events[EVENT_COUNT];
		int			count = epoll_wait(route->epoll, events, EVENT_COUNT, -1);

		for (int i = 0; i < count; i++)
		{
			Connection *connection = events[i].data.ptr;

			if (events[i].events & EPOLLOUT)
				slice.bytes += send_step(route, connection);
			if (!(events[i].events & ~(uint32_t) EPOLLOUT)
				|| !receive(route, connection, &slice.bytes))
				continue;
			if (++connection->step < exchange->count)
			{
				slice.bytes += begin_step(route, connection, patch_range);
				continue;
			}
			slice.exchanges++;
			if (read_clock(CLOCK_MONOTONIC) < deadline)
				slice.bytes += begin_exchange(route, connection, exchange, patch_range);
			else
				busy--;
		}
	}
	return slice;
}

void
replay_once(Route *route, const Exchange *exchange)
{
	if (exchange->count > 0)
		run_exchanges(route, exchange, 1, 0);
}

Slice
replay(Route *route, const Script *script, double slice_s)
{
	Slice		slice;
	double		start,
				proxy_cpu,
				total_cpu;

	replay_once(route, &script->before);
	proxy_cpu = read_proxy_cpu(route);
	total_cpu = read_total_cpu(route);
	start = read_clock(CLOCK_MONOTONIC);
	slice = run_exchanges(route, &script->repeated, script->patch_range, start + slice_s);
	slice.seconds = read_clock(CLOCK_MONOTONIC) - start;
	slice.proxy_cpu = read_proxy_cpu(route) - proxy_cpu;
	slice.total_cpu = read_total_cpu(route) - total_cpu;
	return slice;
}
