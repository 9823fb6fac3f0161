/*
 * post.c
 *	  What other threads ask of the relay's, and the sessions that go between them.
 */
#include "internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
