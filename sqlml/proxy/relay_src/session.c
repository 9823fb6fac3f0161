/*
 * session.c
 *	  One session: two sockets, back-pressure between them, and the end of both.
 *
 * While a socket does not take what was read from the other one, that other one
 * is not read. A session that ends is freed only after the events that epoll
 * gave together, since they may still name it.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"

#define SEND_MS 60000
#define DRAIN_MS 5000

static const uint8_t TERMINATE[] = {'X', 0, 0, 0, 4};

Session *
make_session(int client_fd, int upstream_fd)
{
	Session    *session = calloc(1, sizeof(Session));

	if (session == NULL)
		return NULL;
	session->client.session = session->upstream.session = session;
	session->client.fd = client_fd;
	session->upstream.fd = upstream_fd;
	session->phase = PHASE_AWAY;
	session->standard_conforming_strings = true;
	strcpy(session->client_encoding, "UTF8");
	init_conversation(&session->conversation);
	return session;
}

void
free_session(Session *session)
{
	drop_bytes(&session->client.unsent);
	drop_bytes(&session->client.held);
	drop_bytes(&session->upstream.unsent);
	drop_bytes(&session->upstream.held);
	free_conversation(&session->conversation);
	free(session);
}

static void
leave_phase(Relay *relay, Session *session)
{
	SessionList *list = &relay->phases[session->phase];

	if (session->previous != NULL)
		session->previous->next = session->next;
	else
		list->first = session->next;
	if (session->next != NULL)
		session->next->previous = session->previous;
	else
		list->last = session->previous;
}

static void
append_session(SessionList *list, Session *session)
{
	session->previous = list->last;
	session->next = NULL;
	if (list->last != NULL)
		list->last->next = session;
	else
		list->first = session;
	list->last = session;
}

static void
set_deadline(const Relay *relay, Session *session)
{
	switch (session->phase)
	{
		case PHASE_STARTUP:
			session->deadline_ms = read_clock_ms() + relay->settings.rules.startup_ms;
			break;
		case PHASE_CONNECTING:
		case PHASE_RETRYING:
			session->deadline_ms = read_clock_ms() + relay->settings.rules.connect_ms;
			break;
		case PHASE_CLOSING:
			session->deadline_ms = read_clock_ms() + SEND_MS;
			break;
		case PHASE_DRAINING:
			session->deadline_ms = read_clock_ms() + DRAIN_MS;
			break;
		default:
			break;
	}
}

/* A phase's sessions are in the order of their deadlines */
void
enter_phase(Relay *relay, Session *session, Phase phase)
{
	Phase		old = session->phase;

	if (old == phase)
		return;
	if (old != PHASE_AWAY)
		leave_phase(relay, session);
	count(relay, COUNT_SESSIONS, (phase == PHASE_RELAYING) - (old == PHASE_RELAYING));
	session->phase = phase;
	if (phase != PHASE_AWAY)
	{
		append_session(&relay->phases[phase], session);
		set_deadline(relay, session);
	}
	else if (atomic_fetch_sub(&relay->present, 1) == 1 && relay->is_draining)
		signal_events(relay);
}

static uint32_t
get_interest(Side *side)
{
	Session    *session = side->session;
	uint32_t	interest = side->unsent != NULL ? EPOLLOUT : 0;

	if (side->fd < 0)
		return 0;
	switch (session->phase)
	{
		case PHASE_STARTUP:
		case PHASE_DRAINING:
			return interest | EPOLLIN;
		case PHASE_CONNECTING:
			return is_client(side) ? interest : EPOLLOUT;
		case PHASE_RELAYING:
			if (!side->has_ended && get_other(side)->unsent == NULL)
				interest |= EPOLLIN;
			return interest;
		case PHASE_RETRYING:
		case PHASE_CLOSING:
			return interest;
		case PHASE_AWAY:
			return 0;
	}
	return 0;
}

/* Without interest epoll is told nothing, since it would report a broken socket over and over */
static bool
tell_epoll(const Relay *relay, Side *side)
{
	uint32_t	interest = get_interest(side);
	uint32_t	old = side->interest;
	struct epoll_event event = {.events = interest, .data.ptr = side};

	if (interest == old)
		return true;
	side->interest = interest;
	return epoll_ctl(relay->epoll_fd,
					 old == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD,
					 side->fd, &event) == 0;
}

void
update_interest(Relay *relay, Session *session)
{
	if (!tell_epoll(relay, &session->client) || !tell_epoll(relay, &session->upstream))
		abort_session(relay, session);
}

static void
close_side(Side *side)
{
	if (side->fd >= 0)
		close(side->fd);
	side->fd = -1;
	side->interest = 0;
	drop_bytes(&side->unsent);
}

/* What a session's sockets are done with must have been sent */
static void
settle(Relay *relay, const Session *session)
{
	if (session->client.is_posted || session->upstream.is_posted)
		send_posted(relay);
}

/* Close both sockets now */
void
abort_session(Relay *relay, Session *session)
{
	settle(relay, session);
	if (session->phase == PHASE_AWAY)
		return;
	close_side(&session->client);
	close_side(&session->upstream);
	enter_phase(relay, session, PHASE_AWAY);
	session->next = relay->closed;
	relay->closed = session;
}

/*
 * Send what is unsent, then close. A client closes first: what it sent and
 * nobody read would have a reset overtake our last words.
 */
void
end_session(Relay *relay, Session *session)
{
	Side	   *client = &session->client;
	Side	   *upstream = &session->upstream;
	Phase		phase = PHASE_CLOSING;

	settle(relay, session);
	if (session->phase == PHASE_AWAY || session->phase == PHASE_DRAINING)
		return;
	if (upstream->unsent == NULL)
		close_side(upstream);
	if (client->unsent == NULL && (client->has_ended || client->is_deaf))
		close_side(client);
	if (client->fd < 0 && upstream->fd < 0)
	{
		abort_session(relay, session);
		return;
	}
	if (client->fd >= 0 && client->unsent == NULL && upstream->fd < 0)
	{
		shutdown(client->fd, SHUT_WR);
		phase = PHASE_DRAINING;
	}
	enter_phase(relay, session, phase);
	update_interest(relay, session);
}

/* Let the event loop have it: what was read and not looked at is held, what was not sent unsent */
void
give_away(Relay *relay, Session *session)
{
	settle(relay, session);
	if (session->phase == PHASE_AWAY)
		return;
	/* The bytes that are held are counted where they are looked at */
	count(relay, COUNT_BYTES_FROM_CLIENTS, -(int64_t) count_bytes(session->client.held));
	count(relay, COUNT_BYTES_FROM_UPSTREAM, -(int64_t) count_bytes(session->upstream.held));
	atomic_fetch_add(&relay->away, 1);
	enter_phase(relay, session, PHASE_AWAY);
	tell_epoll(relay, &session->client);
	tell_epoll(relay, &session->upstream);
	session->next = relay->leaving;
	relay->leaving = session;
}

/* Nothing can be written any more, but what the other end sent before may still be there */
static void
lose(Relay *relay, Side *side)
{
	Session    *session = side->session;

	side->is_deaf = true;
	drop_bytes(&side->unsent);
	if (is_client(side) && (side->has_ended || session->phase != PHASE_RELAYING))
		end_session(relay, session);
}

static bool
is_passing(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == EINTR;
}

/* How many bytes the socket took; -1 if it is lost */
static ssize_t
try_to_send(Side *side, const uint8_t *data, size_t size)
{
	ssize_t		sent;

	do
		sent = send(side->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent < 0 && is_passing(errno) ? 0 : sent;
}

/* Keep what the socket did not take */
static void
keep_rest(Side *side, Sending *sending)
{
	size_t		sent = sending->result < 0 ? 0 : (size_t) sending->result;

	if (sending->result < 0 && !is_passing((int) -sending->result))
		return;
	if (!append_bytes(&side->unsent, sending->data + sent, sending->size - sent))
		sending->result = -ENOMEM;
}

/*
 * All results are noted before any has consequences: one may be to write to a
 * socket that did not take all that is posted. May end sessions
 */
void
send_posted(Relay *relay)
{
	unsigned	count = relay->outbox == NULL ? 0 : empty_outbox(relay->outbox);
	Side	   *side;

	for (unsigned i = 0; i < count; i++)
	{
		Sending    *sending = get_sent(relay->outbox, i, &side);

		keep_rest(side, sending);
	}
	for (unsigned i = 0; i < count; i++)
	{
		int64_t		result = get_sent(relay->outbox, i, &side)->result;

		if (result == -ENOMEM)
			abort_session(relay, side->session);
		else if (result < 0 && !is_passing((int) -result))
			lose(relay, side);
		else if (side->unsent != NULL)
			update_interest(relay, side->session);
	}
}

/* May end the session */
void
write_to(Relay *relay, Side *side, const uint8_t *data, size_t size)
{
	ssize_t		sent = 0;

	if (side->is_posted)
		send_posted(relay);
	if (size == 0 || side->is_deaf || side->fd < 0)
		return;
	if (side->unsent == NULL && put_in_outbox(relay->outbox, side, data, size))
		return;
	if (side->unsent == NULL)
		sent = try_to_send(side, data, size);
	if (sent < 0)
		lose(relay, side);
	else if ((size_t) sent < size)
	{
		if (append_bytes(&side->unsent, data + sent, size - (size_t) sent))
			update_interest(relay, side->session);
		else
			abort_session(relay, side->session);
	}
}

/* The client will send no more, but the server may still owe answers */
static void
pass_end(Relay *relay, Session *session)
{
	settle(relay, session);
	if (session->client.has_ended && session->upstream.unsent == NULL)
		shutdown(session->upstream.fd, SHUT_WR);
}

static bool
is_quiet(const Session *session)
{
	const Side *client = &session->client;
	const Side *upstream = &session->upstream;

	return session->phase == PHASE_RELAYING && is_idle(&session->conversation) &&
		!session->is_replication && !client->is_blind &&
		client->held == NULL && client->unsent == NULL && client->passing == 0 &&
		upstream->held == NULL && upstream->unsent == NULL && upstream->passing == 0;
}

/* Tell both ends that the proxy stops */
void
say_goodbye(Relay *relay, Session *session)
{
	const Words *words = &relay->settings.shutdown;

	write_to(relay, &session->client, words->data, words->size);
	if (session->phase != PHASE_AWAY)
		write_to(relay, &session->upstream, TERMINATE, sizeof(TERMINATE));
	end_session(relay, session);
}

/* Sessions of a draining relay end as soon as nothing is under way */
void
dismiss_if_drained(Relay *relay, Session *session)
{
	if (relay->is_draining && is_quiet(session))
		say_goodbye(relay, session);
}

static void
refuse_unchallenged(Relay *relay, Session *session)
{
	const Words *words = &relay->settings.unchallenged;

	count(relay, COUNT_START_UPS_REFUSED, 1);
	tell_refusal(relay, session, REFUSED_UNCHALLENGED);
	write_to(relay, &session->client, words->data, words->size);
	lose(relay, &session->upstream);
	end_session(relay, session);
}

/* Pass on what can be; hold the rest */
static void
relay_bytes(Relay *relay, Side *side, const uint8_t *data, size_t size)
{
	Session    *session = side->session;
	Verdict		verdict;
	size_t		passed = is_client(side)
		? look_at_client(relay, session, data, size, &verdict)
		: look_at_upstream(relay, session, data, size, &verdict);

	if (verdict == REFUSE)
	{
		refuse_unchallenged(relay, session);
		return;
	}
	if (verdict == GIVE_UP || !append_bytes(&side->held, data + passed, size - passed))
	{
		abort_session(relay, session);
		return;
	}
	write_to(relay, get_other(side), data, passed);
	if (verdict == MIGRATE && session->phase == PHASE_RELAYING)
		give_away(relay, session);
	else
		dismiss_if_drained(relay, session);
}

/* What a session brought with it, or what came while its server was not there yet */
static void
relay_held(Relay *relay, Side *side)
{
	Bytes	   *held = side->held;

	if (side->session->phase != PHASE_RELAYING || held == NULL)
		return;
	side->held = NULL;
	relay_bytes(relay, side, held->data + held->start, count_bytes(held));
	drop_bytes(&held);
}

void
start_relaying(Relay *relay, Session *session)
{
	enter_phase(relay, session, PHASE_RELAYING);
	relay_held(relay, &session->upstream);
	relay_held(relay, &session->client);
	if (session->phase != PHASE_RELAYING)
		return;
	pass_end(relay, session);
	update_interest(relay, session);
	dismiss_if_drained(relay, session);
}

/* What is held of a frame that will never be whole goes on as it is */
static void
pass_held(Relay *relay, Side *side)
{
	Bytes	   *held = side->held;

	side->held = NULL;
	if (held != NULL)
		write_to(relay, get_other(side), held->data + held->start, count_bytes(held));
	drop_bytes(&held);
}

static void
on_end(Relay *relay, Side *side)
{
	Session    *session = side->session;

	side->has_ended = true;
	if (session->phase == PHASE_RELAYING)
		pass_held(relay, side);
	if (session->phase == PHASE_RELAYING && is_client(side) && !side->is_deaf)
	{
		pass_end(relay, session);
		update_interest(relay, session);
		return;
	}
	if (!is_client(side))
		lose(relay, side);
	end_session(relay, session);
}

/* Read behind what is held, which is copied once its frame is as whole as it need be */
void
on_readable(Relay *relay, Side *side)
{
	uint8_t    *data = relay->scratch + HELD_MAX;
	ssize_t		received = recv(side->fd, data, READ_SIZE, MSG_DONTWAIT);
	size_t		size = (size_t) received;
	size_t		held = count_bytes(side->held);

	if (side->session->phase == PHASE_DRAINING)
	{
		if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
			abort_session(relay, side->session);
		return;
	}
	if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (received < 0)
		lose(relay, side);
	if (received <= 0)
	{
		on_end(relay, side);
		return;
	}
	count(relay, is_client(side) ? COUNT_BYTES_FROM_CLIENTS : COUNT_BYTES_FROM_UPSTREAM,
		  (int64_t) size);
	if (held > 0 && held + size < side->needed)
	{
		if (!append_bytes(&side->held, data, size))
			abort_session(relay, side->session);
		return;
	}
	if (held > 0)
	{
		data -= held;
		memcpy(data, side->held->data + side->held->start, held);
		drop_bytes(&side->held);
	}
	if (side->session->phase == PHASE_STARTUP)
		start_up(relay, side->session, data, held + size);
	else
		relay_bytes(relay, side, data, held + size);
}

void
on_writable(Relay *relay, Side *side)
{
	Session    *session = side->session;
	Bytes	   *unsent = side->unsent;
	ssize_t		sent;

	if (session->phase == PHASE_CONNECTING && !is_client(side))
	{
		finish_connecting(relay, session);
		return;
	}
	if (unsent == NULL)
		return;
	sent = try_to_send(side, unsent->data + unsent->start, count_bytes(unsent));
	if (sent < 0)
		lose(relay, side);
	else
		unsent->start += (size_t) sent;
	if (sent >= 0 && count_bytes(unsent) > 0)
		return;
	drop_bytes(&side->unsent);
	if (session->phase == PHASE_CLOSING)
		end_session(relay, session);
	else if (session->phase == PHASE_RELAYING)
	{
		pass_end(relay, session);
		update_interest(relay, session);
		dismiss_if_drained(relay, session);
	}
	else if (session->phase != PHASE_AWAY)
		update_interest(relay, session);
}
