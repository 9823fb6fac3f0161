/*
 * post.c
 *	  What other threads ask of the relay's, and the sessions that go between them.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND_MS 1000

static void
signal_fd(int fd)
{
	ssize_t		written;

	/* Only a counter that is full blocks, and then the reader is awake */
	do
		written = eventfd_write(fd, 1);
	while (written < 0 && errno == EINTR);
}

void
signal_events(Relay *relay)
{
	signal_fd(relay->event_fd);
}

/* After the last event that may name them */
void
deliver_leaving(Relay *relay)
{
	if (relay->leaving == NULL)
		return;
	pthread_mutex_lock(&relay->post.lock);
	while (relay->leaving != NULL)
	{
		Session    *session = relay->leaving;

		relay->leaving = session->next;
		session->next = NULL;
		if (relay->post.taken.last != NULL)
			relay->post.taken.last->next = session;
		else
			relay->post.taken.first = session;
		relay->post.taken.last = session;
	}
	pthread_mutex_unlock(&relay->post.lock);
	signal_events(relay);
}

/* A storm of refusals must not keep whoever takes them busy: then they are counted only */
static bool
may_tell(Relay *relay)
{
	uint64_t	now = read_clock_ms();

	if (now - relay->refusals_since_ms >= SECOND_MS)
	{
		relay->refusals_since_ms = now;
		relay->refusals_told = 0;
	}
	return relay->refusals_told++ < REFUSALS_MAX;
}

static Refusal
make_refusal(const Session *session, Reason reason)
{
	Refusal		refusal = {.session_id = session->id, .reason = reason};

	refusal.client_size = sizeof(refusal.client);
	if (getpeername(session->client.fd, (struct sockaddr *) &refusal.client,
					&refusal.client_size) < 0)
		refusal.client_size = 0;
	return refusal;
}

/* While the client is still connected */
void
tell_refusal(Relay *relay, const Session *session, Reason reason)
{
	Post	   *post = &relay->post;
	bool		is_told = may_tell(relay);

	pthread_mutex_lock(&post->lock);
	is_told = is_told && post->refusal_count < REFUSALS_MAX;
	if (is_told)
	{
		Refusal    *refusal = &post->refusals[post->refusal_count++];

		*refusal = make_refusal(session, reason);
		refusal->untold = post->untold;
	}
	post->untold = is_told ? 0 : post->untold + 1;
	pthread_mutex_unlock(&post->lock);
	if (is_told)
		signal_events(relay);
}

bool
take_refusal(Relay *relay, Refusal *refusal)
{
	Post	   *post = &relay->post;
	bool		is_there;

	pthread_mutex_lock(&post->lock);
	is_there = post->refusal_count > 0;
	if (is_there)
	{
		*refusal = post->refusals[0];
		post->refusal_count--;
		memmove(post->refusals, post->refusals + 1, post->refusal_count * sizeof(Refusal));
	}
	pthread_mutex_unlock(&post->lock);
	return is_there;
}

int
get_event_fd(const Relay *relay)
{
	return relay->event_fd;
}

Session *
take_session(Relay *relay)
{
	eventfd_t	ignored;
	Session    *session;

	pthread_mutex_lock(&relay->post.lock);
	session = relay->post.taken.first;
	if (session == NULL)
		eventfd_read(relay->event_fd, &ignored);
	else
	{
		relay->post.taken.first = session->next;
		if (session->next == NULL)
			relay->post.taken.last = NULL;
	}
	pthread_mutex_unlock(&relay->post.lock);
	return session;
}

void
give_session(Relay *relay, Session *session)
{
	atomic_fetch_add(&relay->present, 1);
	pthread_mutex_lock(&relay->post.lock);
	session->next = relay->post.given;
	relay->post.given = session;
	pthread_mutex_unlock(&relay->post.lock);
	signal_fd(relay->command_fd);
}

void
forget_session(Relay *relay)
{
	atomic_fetch_sub(&relay->away, 1);
}

void
change_rules(Relay *relay, const Rules *rules)
{
	pthread_mutex_lock(&relay->post.lock);
	relay->post.rules = *rules;
	pthread_mutex_unlock(&relay->post.lock);
	signal_fd(relay->command_fd);
}

void
drain_relay(Relay *relay)
{
	pthread_mutex_lock(&relay->post.lock);
	relay->post.is_draining = true;
	pthread_mutex_unlock(&relay->post.lock);
	signal_fd(relay->command_fd);
}

void
stop_relay(Relay *relay)
{
	pthread_mutex_lock(&relay->post.lock);
	relay->post.is_stopping = true;
	pthread_mutex_unlock(&relay->post.lock);
	signal_fd(relay->command_fd);
}

uint64_t
count_sessions(Relay *relay)
{
	return atomic_load(&relay->present) + atomic_load(&relay->away);
}
