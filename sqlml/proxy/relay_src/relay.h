/*
 * relay.h
 *	  Sessions between clients and one server, relayed in a thread of its own.
 *
 * The thread does the common case alone: it accepts, reads a start-up packet,
 * connects, and passes bytes on in both directions while it follows the
 * protocol. Everything else goes to whoever takes the sessions that it gives
 * away. Knows nothing of Python.
 */
#ifndef SQLML_RELAY_H
#define SQLML_RELAY_H

#include <sys/socket.h>

#include "bytes.h"
#include "conversation.h"

#define ENCODING_SIZE 24

typedef struct Relay Relay;
typedef struct Session Session;

/* One of the two sockets of a session */
typedef struct Side
{
	Session    *session;
	Bytes	   *unsent;			/* its socket takes no more at present */
	Bytes	   *held;			/* read, the beginning of something that is not whole */
	size_t		needed;			/* so many bytes make it worth looking again */
	uint32_t	passing;		/* bytes to come of a frame that was looked at already */
	int			fd;				/* -1 once closed */
	uint32_t	interest;		/* what epoll was told; 0 if it does not know the socket */
	bool		has_ended;		/* no more comes from it */
	bool		is_deaf;		/* no more can be written to it */
	bool		is_posted;		/* bytes for it are in the outbox */
	bool		is_blind;		/* its frames make no sense */
} Side;

typedef enum Phase
{
	PHASE_STARTUP,				/* the start-up packet is not whole */
	PHASE_CONNECTING,
	PHASE_RETRYING,				/* the server's queue of connections is full */
	PHASE_RELAYING,
	PHASE_CLOSING,				/* only what is unsent is still sent */
	PHASE_DRAINING,				/* all is sent; the client has not closed yet */
	PHASE_COUNT,
	PHASE_AWAY = PHASE_COUNT,	/* the thread is done with it: closed or given away */
} Phase;

struct Session
{
	Session    *previous;		/* of the same phase */
	Session    *next;
	uint64_t	id;
	uint64_t	deadline_ms;
	Side		client;
	Side		upstream;
	Conversation conversation;
	Phase		phase;
	bool		declined_tls;
	bool		declined_gss;
	bool		is_replication;
	bool		was_challenged; /* the server asked for a proof of identity */
	bool		standard_conforming_strings;
	char		client_encoding[ENCODING_SIZE];
};

/* A message for a client, ready to be sent */
typedef struct Words
{
	const uint8_t *data;
	size_t		size;
} Words;

/* Sockets that clients connect to */
#define LISTENERS_MAX 16

/* Of sqlml/proxy/counters.py: the slots that the relay adds to, and how many make a block */
#define BLOCK_SLOTS 32

typedef enum Counter
{
	COUNT_SESSIONS = 0,
	COUNT_SESSIONS_TOTAL = 1,
	COUNT_CONNECTIONS_TOTAL = 2,
	COUNT_START_UPS_REFUSED = 5,
	COUNT_SESSIONS_REFUSED = 6,
	COUNT_BYTES_FROM_CLIENTS = 8,
	COUNT_BYTES_FROM_UPSTREAM = 9,
} Counter;

/* Why the relay itself ends a session that has hardly begun */
typedef enum Reason
{
	REFUSED_SLOW,				/* its start-up packet did not come in time */
	REFUSED_ANOTHER,			/* there are too many */
	REFUSED_UNCHALLENGED,		/* the server asked for no proof of identity */
} Reason;

typedef struct Refusal
{
	uint64_t	session_id;
	uint64_t	untold;			/* refusals before it, too many at once to be told one by one */
	struct sockaddr_storage client;
	socklen_t	client_size;	/* 0: not known */
	Reason		reason;
} Refusal;

/* What may change while sessions last */
typedef struct Rules
{
	struct sockaddr_storage upstream;
	socklen_t	upstream_size;	/* 0: every client is given away */
	uint64_t	sessions;		/* in all blocks of counters together */
	uint64_t	own_sessions;	/* here, those given away included */
	uint64_t	startup_ms;
	uint64_t	connect_ms;
	bool		declines_encryption;	/* else clients that ask for it are given away */
	bool		relays_unencrypted; /* else clients without it are given away */
	bool		refuses_unchallenged;	/* whom the server lets in without a proof of identity */
} Rules;

typedef struct Settings
{
	int			listen_fds[LISTENERS_MAX];	/* stay the caller's */
	int			listener_count;
	uint64_t	first_id;
	Rules		rules;
	Words		too_many;		/* FATAL, as the others; live as long as the relay */
	Words		unchallenged;
	Words		shutdown;
	int64_t    *counters;		/* all blocks */
	size_t		block_count;
	size_t		own_block;

	/* Whether a text that may concern us does; called from the relay's thread */
	bool		(*decide) (void *argument, const Session *session, const uint8_t *text,
						   size_t size);
	void	   *argument;
} Settings;

/* NULL and errno if the system does not give what it needs; settings are copied, words are not */
Relay	   *make_relay(const Settings *settings);

/* The thread: returns after stop_relay */
void		run_relay(Relay *relay);

/* All below may be called from any thread while the relay lives */

/* Readable while there is a session or refusal to take, or a drained relay has become empty */
int			get_event_fd(const Relay *relay);

/* A session that is the caller's from now on, or NULL; upstream.fd is -1 during the start-up */
Session    *take_session(Relay *relay);

/* False if there is none */
bool		take_refusal(Relay *relay, Refusal *refusal);

/* Give back a session that was taken, or one that make_session made */
void		give_session(Relay *relay, Session *session);

/* A session that was taken has ended elsewhere, or was given back */
void		forget_session(Relay *relay);

void		change_rules(Relay *relay, const Rules *rules);

/* Accept no more; end sessions as they become idle */
void		drain_relay(Relay *relay);
void		stop_relay(Relay *relay);

/* Those that were taken are counted until they are forgotten */
uint64_t	count_sessions(Relay *relay);

/* After the thread has ended; closes what nobody took */
void		free_relay(Relay *relay);

Session    *make_session(int client_fd, int upstream_fd);

/* Free its memory; the file descriptors stay */
void		free_session(Session *session);

#endif
