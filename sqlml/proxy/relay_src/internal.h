/*
 * internal.h
 *	  What the files of the relay share.
 */
#ifndef SQLML_RELAY_INTERNAL_H
#define SQLML_RELAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "outbox.h"
#include "prefilter.h"
#include "relay.h"

/* A Parse may wait with a long name and as much of its text as is looked at */
#define HELD_MAX (2 * LOOK_BYTES + 16)
#define READ_SIZE (256 * 1024)
/* So many in a second are told one by one */
#define REFUSALS_MAX 16

typedef struct SessionList
{
	Session    *first;
	Session    *last;
} SessionList;

/* What threads say to each other; under its lock */
typedef struct Post
{
	pthread_mutex_t lock;
	Session    *given;			/* to the relay */
	SessionList taken;			/* from the relay */
	Refusal		refusals[REFUSALS_MAX];	/* from the relay, the oldest first */
	size_t		refusal_count;
	uint64_t	untold;
	Rules		rules;
	bool		is_draining;
	bool		is_stopping;
} Post;

struct Relay
{
	Settings	settings;
	int			epoll_fd;
	int			listen_fds[LISTENERS_MAX];	/* our own duplicates; -1 once drained */
	int			event_fd;
	int			command_fd;
	bool		is_accepting;	/* epoll knows listen_fds */
	bool		is_draining;
	bool		is_stopping;
	uint64_t	accept_again_ms;
	uint64_t	next_id;
	uint64_t	refusals_since_ms;	/* the second that refusals_told counts in */
	size_t		refusals_told;
	SessionList phases[PHASE_COUNT];
	Session    *closed;			/* freed after the events that may still name them */
	Session    *leaving;		/* given away after those */
	/* Both are raised first and lowered last as a session changes hands, so none is missed */
	atomic_uint_fast64_t present;	/* in the thread's hands */
	atomic_uint_fast64_t away;	/* given away, and neither forgotten nor given back */
	Post		post;
	uint8_t    *scratch;		/* HELD_MAX bytes that were held, then READ_SIZE new ones */
	Outbox	   *outbox;			/* NULL where every send is a call of its own */
};

/* loop.c */
uint64_t	read_clock_ms(void);
void		set_tcp_options(int fd);
void		limit_buffers(int fd, const struct sockaddr_storage *peer);

/* post.c */
void		deliver_leaving(Relay *relay);
void		signal_events(Relay *relay);
void		tell_refusal(Relay *relay, const Session *session, Reason reason);

/* startup.c */
void		start_up(Relay *relay, Session *session, const uint8_t *data, size_t size);
void		give_away_unconnected(Relay *relay, Session *session);
void		finish_connecting(Relay *relay, Session *session);
void		retry_connecting(Relay *relay, Session *session);

/* session.c */
void		enter_phase(Relay *relay, Session *session, Phase phase);
void		update_interest(Relay *relay, Session *session);
void		start_relaying(Relay *relay, Session *session);
void		write_to(Relay *relay, Side *side, const uint8_t *data, size_t size);
void		send_posted(Relay *relay);
void		on_readable(Relay *relay, Side *side);
void		on_writable(Relay *relay, Side *side);
void		end_session(Relay *relay, Session *session);
void		abort_session(Relay *relay, Session *session);
void		give_away(Relay *relay, Session *session);
void		say_goodbye(Relay *relay, Session *session);
void		dismiss_if_drained(Relay *relay, Session *session);

static inline void
count(const Relay *relay, Counter counter, int64_t amount)
{
	relay->settings.counters[relay->settings.own_block * BLOCK_SLOTS + counter] += amount;
}

static inline bool
is_client(const Side *side)
{
	return side == &side->session->client;
}

static inline Side *
get_other(Side *side)
{
	return is_client(side) ? &side->session->upstream : &side->session->client;
}

#endif
