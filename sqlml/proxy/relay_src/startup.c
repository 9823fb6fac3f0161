/*
 * startup.c
 *	  From the first byte of a client to the connection with the server.
 *
 * Only what needs no words is done here: encryption is declined, a plain
 * start-up packet goes to the server. All else is given away.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define STARTUP_SIZE_MAX 10000
#define STARTUP_HEADER_SIZE 8
#define TLS_HANDSHAKE 0x16
#define CODE_CANCEL 80877102
#define CODE_TLS 80877103
#define CODE_GSS 80877104
#define MAJOR_VERSION 3

/* Step over a string that is not empty; NULL at the end */
static const char *
take_string(const char **at, const char *end)
{
	const char *string = *at;
	const char *zero = string < end ? memchr(string, '\0', (size_t) (end - string)) : NULL;

	if (zero == NULL)
		return NULL;
	*at = zero + 1;
	return string;
}

static bool
asks_for_replication(const uint8_t *packet, size_t size)
{
	const char *at = (const char *) packet + STARTUP_HEADER_SIZE;
	const char *end = (const char *) packet + size;
	const char *name;
	const char *value;
	bool		asks = false;

	while ((name = take_string(&at, end)) != NULL && (value = take_string(&at, end)) != NULL)
		if (strcmp(name, "replication") == 0)
			asks = *value != '\0' && strcasecmp(value, "false") != 0 &&
				strcasecmp(value, "off") != 0 && strcasecmp(value, "no") != 0 &&
				strcmp(value, "0") != 0;
	return asks;
}

static void
hold(Relay *relay, Session *session, const uint8_t *data, size_t size)
{
	if (!append_bytes(&session->client.held, data, size))
		abort_session(relay, session);
}

static void
give_away_bytes(Relay *relay, Session *session, const uint8_t *data, size_t size)
{
	hold(relay, session, data, size);
	give_away(relay, session);
}

/* A gauge may be below zero in one block, as sessions change hands */
static bool
has_room(Relay *relay)
{
	const Settings *settings = &relay->settings;
	uint64_t	own = atomic_load(&relay->present) + atomic_load(&relay->away);
	int64_t		sessions = 0;

	for (size_t block = 0; block < settings->block_count; block++)
		sessions += settings->counters[block * BLOCK_SLOTS + COUNT_SESSIONS];
	return own <= settings->rules.own_sessions &&
		(sessions < 0 || (uint64_t) sessions < settings->rules.sessions);
}

static void
refuse_another(Relay *relay, Session *session)
{
	const Words *words = &relay->settings.too_many;

	count(relay, COUNT_SESSIONS_REFUSED, 1);
	tell_refusal(relay, session, REFUSED_ANOTHER);
	write_to(relay, &session->client, words->data, words->size);
	end_session(relay, session);
}

static int
open_upstream_socket(const Rules *rules)
{
	int			fd = socket(rules->upstream.ss_family,
							SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && rules->upstream.ss_family != AF_UNIX)
	{
		set_tcp_options(fd);
		limit_buffers(fd, &rules->upstream);
	}
	return fd;
}

/* The server cannot be reached; whoever gets the session tries again and finds the words */
void
give_away_unconnected(Relay *relay, Session *session)
{
	if (session->upstream.fd >= 0)
		close(session->upstream.fd);
	session->upstream.fd = -1;
	session->upstream.interest = 0;
	give_away(relay, session);
}

/* The start-up packet that is held, to a server that can be written to; false if it cannot */
static bool
send_startup(Relay *relay, Session *session)
{
	Bytes	   *held = session->client.held;
	const uint8_t *packet = held->data + held->start;
	size_t		size = read_uint32(packet);
	ssize_t		sent = send(session->upstream.fd, packet, size, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return false;
	session->is_replication = asks_for_replication(packet, size);
	held->start += size;
	if (!await(&session->conversation, AWAITED_STARTUP) ||
		!append_bytes(&session->upstream.unsent, packet + sent, size - (size_t) sent))
	{
		abort_session(relay, session);
		return true;
	}
	if (count_bytes(held) == 0)
		drop_bytes(&session->client.held);
	count(relay, COUNT_SESSIONS_TOTAL, 1);
	start_relaying(relay, session);
	return true;
}

/* The address is near as a rule: then the connection stands at once, and epoll need not be asked */
static void
connect_upstream(Relay *relay, Session *session)
{
	const Rules *rules = &relay->settings.rules;
	int			fd = open_upstream_socket(rules);
	int			code = -1;

	session->upstream.fd = fd;
	if (fd >= 0)
		code = connect(fd, (const struct sockaddr *) &rules->upstream, rules->upstream_size);
	if (fd < 0 || (code < 0 && errno != EINPROGRESS && errno != EAGAIN))
		give_away_unconnected(relay, session);
	else if (code < 0 && errno == EAGAIN)
	{
		close(fd);
		session->upstream.fd = -1;
		enter_phase(relay, session, PHASE_RETRYING);
		update_interest(relay, session);
	}
	else if (!send_startup(relay, session))
	{
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOTCONN && errno != EINTR)
		{
			give_away_unconnected(relay, session);
			return;
		}
		enter_phase(relay, session, PHASE_CONNECTING);
		update_interest(relay, session);
	}
}

void
finish_connecting(Relay *relay, Session *session)
{
	int			error = 0;
	socklen_t	size = sizeof(error);

	if (getsockopt(session->upstream.fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0 ||
		(!send_startup(relay, session) && errno != EAGAIN && errno != EINTR))
		give_away_unconnected(relay, session);
}

void
retry_connecting(Relay *relay, Session *session)
{
	connect_upstream(relay, session);
}

static void
decline(Relay *relay, Session *session, bool *is_declined)
{
	static const uint8_t no = 'N';

	*is_declined = true;
	write_to(relay, &session->client, &no, 1);
}

/* Look at what arrived so far, which begins at a packet */
void
start_up(Relay *relay, Session *session, const uint8_t *data, size_t size)
{
	const Settings *settings = &relay->settings;
	uint32_t	packet_size = size < 4 ? STARTUP_HEADER_SIZE : read_uint32(data);
	bool	   *is_declined = NULL;
	uint32_t	code;

	session->client.needed = packet_size;
	if (data[0] == TLS_HANDSHAKE ||
		packet_size < STARTUP_HEADER_SIZE || packet_size > STARTUP_SIZE_MAX)
	{
		give_away_bytes(relay, session, data, size);
		return;
	}
	if (size < packet_size)
	{
		/* The first four bytes say how many are needed */
		if (size < 4)
			session->client.needed = 4;
		hold(relay, session, data, size);
		return;
	}
	code = read_uint32(data + 4);
	if (code == CODE_TLS || code == CODE_GSS)
		is_declined = code == CODE_TLS ? &session->declined_tls : &session->declined_gss;
	if (is_declined != NULL && settings->rules.declines_encryption &&
		!*is_declined && packet_size == size)
		decline(relay, session, is_declined);
	else if (code >> 16 != MAJOR_VERSION || !settings->rules.relays_unencrypted ||
			 settings->rules.upstream_size == 0)
		give_away_bytes(relay, session, data, size);
	else if (!has_room(relay))
		refuse_another(relay, session);
	else
	{
		hold(relay, session, data, size);
		if (session->phase != PHASE_AWAY)
			connect_upstream(relay, session);
	}
}
